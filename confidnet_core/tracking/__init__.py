"""MLflow tracking: one MLflow run per pipeline stage, and local records of these runs while the MLflow server is unreachable."""
