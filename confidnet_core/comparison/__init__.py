"""Scores side by side: tables, differences with significance, costs, and published numbers."""
