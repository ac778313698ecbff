"""Behind `python -m confidnet_core`: what its commands print and write."""
