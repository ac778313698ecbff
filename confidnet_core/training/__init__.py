"""What trains networks: the loop, its losses, and trainings that go on after an interruption."""
