"""Composition of the accelerator out of kernels, emission, and the command line."""
