"""The counted cycles of a run, unit by unit."""
