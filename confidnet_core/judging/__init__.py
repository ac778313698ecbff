"""Scores judged on predictions that a user brings: arrays, tables of predictions, or folders of maps."""
