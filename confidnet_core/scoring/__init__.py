"""The inputs of confidence scores: stored logits, networks, fitted values, dropout samples and ensembles."""
