"""The choice of a design for a network, a device and a workload."""
