"""The analytical model: devices, geometries and their chooser, estimates, and what follows from many of them."""

from .device import Device, devices, load_device
from .estimate import Estimate, estimate, estimate_design

__all__ = ["Device", "Estimate", "devices", "estimate", "estimate_design", "load_device"]
