"""What the failure metrics share: checked samples, counts of each confidence, and risks at a coverage."""
