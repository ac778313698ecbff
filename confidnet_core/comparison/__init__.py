"""Comparison of confidence scores: tables, significance of differences, costs, and published results."""
