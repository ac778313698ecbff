"""Models in use: a classifier that abstains, packed for MLflow and registered there."""
