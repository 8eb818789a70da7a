"""Designs: what they take of a device, and what they do in a phase."""
