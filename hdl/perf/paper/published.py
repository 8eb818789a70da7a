"""The paper's own designs, as mappings and with what was published of them; one YAML file each.

Every figure of a file has its source in the file; `tests/perf/paper/test_paper.py` holds that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ...builtin import built_in, read_built_in
from ...model.load import load_network
from ...resources import Resources
from ..device import Device, load_device
from .mapping import UNITS, PaperMapping

__all__ = ["PaperDesign", "load_paper_design", "paper_designs"]


@dataclass(frozen=True, kw_only=True)
class PaperDesign:
    """A published design: its mapping on its device, the length that its figures are of, the cycles of a layer's
    kernels by name, and what it takes; ``sources`` by field."""

    name: str
    mapping: PaperMapping
    device: Device
    tokens: int
    kernels: Mapping[str, int]
    resources: Resources
    sources: Mapping[str, str]


def paper_designs() -> tuple[str, ...]:
    """The names of the paper's designs."""
    return built_in(__package__, "designs")


@cache
def load_paper_design(name: str) -> PaperDesign:
    """The design of that name.

    Raises:
        InputError: for an unknown one, with those that are known.
    """
    values = read_built_in(__package__, "designs", name, "paper design")
    return PaperDesign(
        name=name,
        mapping=PaperMapping(
            network=load_network(values["network"]),
            macs=values["macs"],
            reuse=dict.fromkeys(UNITS, values["reuse"]),
            **{key: values[key] for key in ("layers", "weight_bits", "activation_bits", "packed", "clock_mhz")},
        ),
        device=load_device(values["device"]),
        tokens=values["tokens"],
        kernels=values["kernels"],
        resources=Resources(**values["resources"]),
        sources=values["sources"],
    )
