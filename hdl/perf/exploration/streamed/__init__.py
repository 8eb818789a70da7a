"""Streamed designs of decoders: one array for all products, through which the weights pass."""
