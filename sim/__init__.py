"""Runs what was emitted: Verilator, AXI co-simulation, the float reference, and the demo on text."""
