"""Commands of `confidnet`: each file holds one, as `command`, and is named like it. The packages below do their work."""
