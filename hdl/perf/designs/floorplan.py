"""Where the units of a design lie: in the order of the data, from the lowest SLR up, arrays cut between columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...channel import CHANNEL_BITS
from ...kernels.linear import LinearSpec
from ...resources import Resources
from ..device import Device

__all__ = ["Floorplan", "floorplan"]

STEPS = 12
"""Halvings of the interval in which the least use of the fullest SLR is sought: to a permille."""


class PlacedBlock(NamedTuple):
    """What is not cut: a unit, or a column of an array; and the signals that a cut behind it would lead on."""

    unit: str
    resources: Resources
    cut_bits: int


@dataclass(frozen=True)
class Floorplan:
    """What of each unit lies in each SLR, ``used`` (share of the scarcest resource) there, and the signals over each
    boundary."""

    regions: tuple[dict[str, Resources], ...]
    used: tuple[float, ...]
    crossings: tuple[int, ...]


def floorplan(units: Mapping[str, Any], rest: Resources, stream_bits: int, device: Device) -> Floorplan | None:
    """The floorplan whose fullest SLR is emptiest; None where the units do not fit the SLRs in their order.

    ``rest``: what belongs to no unit, which lies in the lowest SLR, at the memory. ``stream_bits``: of a stream of
    tokens, of which a boundary has three: the data, the residual that goes past, the way back.
    """
    blocks = [PlacedBlock("rest", rest, 3 * stream_bits)]
    for name, unit in units.items():
        blocks += _blocks(name, unit, 3 * stream_bits)
    sums = np.cumsum([[0.0] * 5, *(tuple(block.resources) for block in blocks)], axis=0)
    # What an SLR has nothing of is used many times over by any need.
    rooms = [np.maximum(tuple(region.resources), 1e-9) for region in device.slrs]
    low, high, best = 0.0, 1.0, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = _ends(sums, rooms, middle)
        low, high, best = (low, middle, found) if found else (middle, high, best)
    best = best or _ends(sums, rooms, high)
    return _with_channels(_planned(blocks, sums, rooms, best), units) if best else None


def _blocks(name: str, unit: Any, stream_bits: int) -> list[PlacedBlock]:
    """A unit as blocks: the columns of its array one by one, after what feeds them."""
    array = getattr(unit, "array", unit if hasattr(unit, "column_resources") else None)
    if array is None:
        return [PlacedBlock(name, unit.resources, stream_bits)]
    # Between columns go the wave of activations and the chain of sums, and past them what belongs to the stream.
    wave = array.rows * array.depth * 8 + array.rows * array.sum_bits + 16 + stream_bits
    column: Resources = array.column_resources
    edge = unit.resources + -array.columns * column
    return [
        PlacedBlock(name, edge, wave),
        *[PlacedBlock(name, column, wave)] * (array.columns - 1),
        PlacedBlock(name, column, stream_bits),
    ]


def _ends(sums: np.ndarray, rooms: Sequence[np.ndarray], share: float) -> list[int] | None:
    """How many blocks lie in each SLR and below it, where in their order each SLR is filled up to ``share`` of any of
    its resources; None where some are left over. ``sums``: the resources of the first n blocks, for every n."""
    ends, first = [], 0
    for room in rooms:
        full = ((sums[first + 1 :] - sums[first]) / room).max(axis=1) > share
        first = first + int(full.argmax()) if full.any() else len(sums) - 1
        ends.append(first)
    return ends if first == len(sums) - 1 else None


def _planned(
    blocks: Sequence[PlacedBlock], sums: np.ndarray, rooms: Sequence[np.ndarray], ends: Sequence[int]
) -> Floorplan:
    """The floorplan with the blocks up to each of ``ends`` in an SLR."""
    regions, used, crossings = [], [], []
    for first, end, room in zip([0, *ends], ends, rooms, strict=False):
        here: dict[str, Resources] = {}
        for block in blocks[first:end]:
            here[block.unit] = here.get(block.unit, Resources()) + block.resources
        regions.append(here)
        used.append(float(((sums[end] - sums[first]) / room).max()))
        crossings.append(blocks[end - 1].cut_bits if 0 < end < len(blocks) else 0)
    return Floorplan(tuple(regions), tuple(used), tuple(crossings[:-1]))


def _with_channels(plan: Floorplan, units: Mapping[str, Any]) -> Floorplan:
    """Adds the memory channels of the units above each boundary to what crosses it: memory is at the lowest SLR."""
    crossings = []
    for boundary, bits in enumerate(plan.crossings):
        above = {name for region in plan.regions[boundary + 1 :] for name in region}
        channels = sum(unit.channels for name, unit in units.items() if name in above and isinstance(unit, LinearSpec))
        crossings.append(bits + channels * CHANNEL_BITS)
    return Floorplan(plan.regions, plan.used, tuple(crossings))
