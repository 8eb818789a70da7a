"""A generator of spatial accelerators for transformer inference."""
