"""MLflow tracking: one row (run) per pipeline stage, and local records of runs while the MLflow server is unreachable."""
