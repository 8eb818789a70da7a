"""The analytical model: devices, geometries and their chooser, estimates, and what follows from many of them."""

from .choice.choose import Choice, choose
from .comparison.compare import Comparison, compare
from .comparison.gpu import GpuEstimate, estimate_gpu
from .device import Device, devices, load_device
from .estimate import Estimate, estimate, estimate_design
from .exploration.explore import Exploration, explore
from .paper.kernels import kernel_cycles
from .paper.mapping import PaperMapping, largest_mapping
from .paper.published import PaperDesign, load_paper_design, paper_designs
from .partitioning.partition import Partition, partition, scaling
from .workload import Workload

__all__ = [
    "Choice",
    "Comparison",
    "Device",
    "Estimate",
    "Exploration",
    "GpuEstimate",
    "PaperDesign",
    "PaperMapping",
    "Partition",
    "Workload",
    "choose",
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
