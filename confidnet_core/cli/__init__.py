"""Implementation of the commands in confidnet_core/__main__.py."""
