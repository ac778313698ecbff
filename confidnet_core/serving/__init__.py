"""Serving: a classifier with a confidence score that can abstain, packed for MLflow and registered there."""
