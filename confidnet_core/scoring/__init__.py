"""What a confidence score may use: stored logits, networks, fitted values, dropout samples and ensembles."""
