"""Failure metrics of many bootstrap resamples at once, from counts at thresholds or in cells of confidence."""
