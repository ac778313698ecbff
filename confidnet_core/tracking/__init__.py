"""MLflow: rows of stages and experiments, and the records kept while a server is unreachable."""
