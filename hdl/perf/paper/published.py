"""The paper's own designs, as mappings and with what was published of them; one YAML file each.

Every figure of a file has its source in the file; `tests/perf/test_paper.py` holds that.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources as files

import yaml

from ...errors import InputError
from ...model.network import load_network
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
    folder = files.files(__package__) / "designs"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


@cache
def load_paper_design(name: str) -> PaperDesign:
    """The design of that name.

    Raises:
        InputError: for an unknown one, with those that are known.
    """
    if name not in paper_designs():
        close = difflib.get_close_matches(name, paper_designs(), n=1)
        suggestion = f", did you mean {close[0]!r}?" if close else ""
        raise InputError(f"paper design {name!r} is unknown{suggestion}; known: {', '.join(paper_designs())}")
    values = yaml.safe_load((files.files(__package__) / "designs" / f"{name}.yaml").read_text())
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
