"""Implementation of the command-line commands in confidnet_core/__main__.py."""
