"""MLflow tracking: one MLflow run per executed pipeline stage, and copies of these runs on disk while the MLflow server is unreachable."""
