"""The analytical model: devices, geometries and their chooser, estimates, and what follows from many of them."""

from .compare import Comparison, compare
from .device import Device, devices, load_device
from .estimate import Estimate, estimate, estimate_design
from .explore import Exploration, explore
from .gpu import GpuEstimate, estimate_gpu
from .paper import PaperMapping, largest_mapping
from .paper_designs import PaperDesign, load_paper_design, paper_designs
from .paper_kernels import kernel_cycles
from .partition import Partition, partition, scaling

__all__ = [
    "Comparison",
    "Device",
    "Estimate",
    "Exploration",
    "GpuEstimate",
    "PaperDesign",
    "PaperMapping",
    "Partition",
    "compare",
    "devices",
    "estimate",
    "estimate_design",
    "estimate_gpu",
    "explore",
    "kernel_cycles",
    "largest_mapping",
    "load_device",
    "load_paper_design",
    "paper_designs",
    "partition",
    "scaling",
]
