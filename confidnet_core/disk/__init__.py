"""Disks that are full, read-only or failing: their errors in one line, a check before the work, and what killed processes left on them."""
