"""What the system does to a process: full, read-only and failing disks, what killed processes left, and Ctrl-C; addresses of servers."""
