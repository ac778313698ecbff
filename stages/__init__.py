"""The DVC stages, one script each: it reads parameters and inputs, calls the core, and writes outputs. Run from the project's root."""
