"""Sweeps of many designs, screened at once as arrays, and the Pareto front of those that are estimated in full."""
