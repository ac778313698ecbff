"""Training of networks: the loop, its losses, flat minima, and trainings that resume after an interruption."""
