"""The analytical model: devices, the geometry of a pipeline and its chooser, and what a design will do."""
