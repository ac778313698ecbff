"""One script a DVC stage: read parameters and inputs, call the core, write outputs. Run from the project's root."""
