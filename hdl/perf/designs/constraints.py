"""The constraints of a design on a device: what each needs, what there is, and which of them refuse it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from ...errors import InputError
from ...kernels.shared import weight_bytes
from ...model.network import Network
from ..device import Device
from .budget import LABELS, PLANNED
from .design import Design
from .floorplan import floorplan

__all__ = ["BANDWIDTH", "REGIONS", "Constraint", "binding", "check_memory", "constraints", "first_that_fits"]

SLR_SHARE = 0.9
"""The share of one SLR's resources that a design may use; the whole device must be within `PLANNED`."""

CROSSING_SHARE = 0.8
"""Share of the lines between two SLRs that may be used."""

REGIONS = ("SLR budget", "crossings")
"""The constraints of the floorplan."""

GIGABYTE = 1e9

BANDWIDTH = "prompt bandwidth"
"""The constraint on what a prompt reads from memory at the pace of the design's units. A token has none: it waits for
memory."""

AnyDesign = TypeVar("AnyDesign", bound=Design)

NAMES = {"dsp": "compute", "bram36": "block RAM", "uram": "UltraRAM", "lut": "logic", "ff": "registers"}


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A constraint by name: what is ``needed`` and ``available``, in ``unit``."""

    name: str
    needed: float
    available: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        return self.needed <= self.available

    @property
    def used(self) -> float:
        """Share of what is available."""
        return self.needed / self.available if self.available else float(self.needed > 0) * 1e9

    def __str__(self) -> str:
        return f"{self.name}: {self.needed:,.6g} {self.unit} needed, {self.available:,.6g} available"


def constraints(design: Design, device: Device, *, tokens: int, sequences: int, clock_mhz: float) -> list[Constraint]:
    """All constraints of ``design`` on ``device``, for ``sequences`` of up to ``tokens`` tokens each.

    Compute, on-chip memory and logic must be within the planned shares of the device and of each SLR. Off-chip memory
    must have room for the parameters and for keys and values that are not on chip, a port for every channel, and the
    bandwidth that a prompt needs at the pace of the units. These are equations 1 to 4 of the paper's section 4.2; the
    shares are this project's own.
    """
    network = design.network
    found = [
        Constraint(
            name=NAMES[name],
            needed=getattr(design.resources, name),
            available=share * getattr(device.resources, name),
            unit=LABELS[name],
        )
        for name, share in PLANNED.items()
    ]
    capacity = weight_bytes(network.parameters, design.weight_bits) + sequences * design.cache_bytes
    phase = design.prefill(tokens)
    drawn = phase.bytes / phase.cycles * clock_mhz * 1e6
    found += [
        _capacity(capacity, device),
        Constraint(name="memory ports", needed=design.channels, available=device.memory.ports, unit="ports"),
        Constraint(
            name=BANDWIDTH,
            needed=drawn / GIGABYTE,
            available=device.memory.sustained * design.bandwidth(device.memory),
            unit="GB/s",
        ),
    ]
    return found + _regions(design, device)


def check_memory(network: Network, device: Device, *, tokens: int, sequences: int, weight_bits: int) -> None:
    """Refuses what no design has room for in off-chip memory: the weights, and the keys and values of several
    sequences of ``tokens`` tokens; those of one sequence may lie on chip.

    Raises:
        InputError: with the constraint on the memory's capacity.
    """
    weights = weight_bytes(network.parameters, weight_bits)
    cache = sequences * network.layers * network.kv_features * tokens if network.causal else 0
    least = weights + (cache if sequences > 1 else 0)
    if not _capacity(least, device).met:
        raise InputError(
            f"model {network.name!r} does not fit device {device.name!r}: {_capacity(weights + cache, device)}"
        )


def _capacity(needed: float, device: Device) -> Constraint:
    """The constraint on bytes in the device's memory."""
    return Constraint(name="memory capacity", needed=needed / GIGABYTE, available=device.memory.capacity_gb, unit="GB")


def _regions(design: Design, device: Device) -> list[Constraint]:
    """The fullest SLR, and the boundary with the most signals, of the best floorplan."""
    if len(device.slrs) < 2:
        return []
    spec = design.spec
    plan = floorplan(design.units, design.rest, spec.rows * spec.lanes * 16, device)
    if plan is None:
        return [Constraint(name="SLR budget", needed=1.0, available=SLR_SHARE, unit="SLR")]
    return [
        Constraint(name="SLR budget", needed=max(plan.used), available=SLR_SHARE, unit="SLR"),
        Constraint(
            name="crossings",
            needed=max(plan.crossings),
            available=CROSSING_SHARE * device.crossings,
            unit="lines",
        ),
    ]


def binding(found: Iterable[Constraint]) -> Constraint | None:
    """The constraint that is missed by most; None where all are met."""
    missed = [one for one in found if not one.met]
    return max(missed, key=lambda one: one.used, default=None)


def first_that_fits(
    designs: Iterable[AnyDesign], device: Device, *, tokens: int, sequences: int, only_shown: Collection[str] = ()
) -> AnyDesign:
    """The first of ``designs``, one at least, that meets all constraints but those that are ``only_shown``.

    Raises:
        InputError: where none does, with the least of the constraints that refuse them.
    """
    refused: list[Constraint] = []
    for design in designs:
        found = constraints(design, device, tokens=tokens, sequences=sequences, clock_mhz=device.clock_mhz)
        missed = binding(one for one in found if one.name not in only_shown)
        if missed is None:
            return design
        refused.append(missed)
    least = min(refused, key=lambda one: one.used)
    raise InputError(f"model {design.network.name!r} does not fit device {device.name!r}: {least}")
