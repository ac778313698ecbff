"""Configuration: params.yaml as typed models, and the registry of the data sets, models and scores that params.yaml may name."""
