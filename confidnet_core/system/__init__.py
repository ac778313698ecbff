"""What the system does to a process: disks that are full, read-only or failing, what killed processes left on them, and Ctrl-C."""
