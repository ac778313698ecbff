"""Functions that the failure metrics share: input checks, counts for each distinct confidence, and selective risk."""
