"""Monitoring of a model in use: whether its answers are those of the calibration data, and whether its guarantee is kept."""
