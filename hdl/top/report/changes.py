"""What would help most: the estimate again with one thing changed at a time, and what that gains."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from ...errors import InputError
from ...model.weightbits import W4, W8
from ...perf.designs.budget import LABELS, PLANNED
from ...perf.device import Device
from ...perf.estimate import Estimate, estimate, estimate_design
from ...perf.workload import TILES
from ..console import Progress

__all__ = ["MORE", "Change", "changes"]

MORE = 1.1
"""How much more there is of what is changed."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was changed, and the estimate of the design that is best then; or, where none fits, the ``refusal``.

    ``latency_gain``: how much faster all of the work is, a share (0.1: in 1/1.1 of the time); ``throughput_gain``: how
    many more tokens a second there are, likewise. Both are 0 where nothing changes, and below 0 for a loss.
    """

    name: str
    found: Estimate | None
    refusal: str
    latency_gain: float
    throughput_gain: float


def changes(base: Estimate, asked: Mapping[str, Any], progress: Progress = lambda doing: None) -> tuple[Change, ...]:
    """Every change to what ``base`` is the estimate of, by what it gains: latency, then throughput; refused ones last.

    ``asked``: the keyword arguments of `estimate` that gave ``base``. The geometry is chosen anew each time. All cycles
    here are estimated, those of ``base`` as well, since to count them would take long.
    """
    base = estimate_design(base.design, base.device, base.workload, refusal=base.refusal, counted=False)
    found = []
    for name, (device, options) in _cases(base).items():
        progress(f"estimating with {name}")
        found.append(_change(name, base, device, {**asked, **options}))
    return tuple(sorted(found, key=lambda one: (one.found is None, -one.latency_gain, -one.throughput_gain)))


def _change(name: str, base: Estimate, device: Device, options: Mapping[str, Any]) -> Change:
    try:
        found = estimate(base.network, device, **options, counted=False)
    except InputError as error:
        return Change(name=name, found=None, refusal=str(error), latency_gain=0.0, throughput_gain=0.0)
    if found.refusal and not base.refusal:
        return Change(name=name, found=None, refusal=found.refusal, latency_gain=0.0, throughput_gain=0.0)
    return Change(
        name=name, found=found, refusal="", latency_gain=base.seconds / found.seconds - 1,
        throughput_gain=found.tokens_a_second / base.tokens_a_second - 1,
    )  # fmt: skip


def _cases(base: Estimate) -> dict[str, tuple[Device, dict[str, Any]]]:
    """The device and the options of each change."""
    device, more = base.device, f"{100 * (MORE - 1):.0f} % more"
    cases: dict[str, tuple[Device, dict[str, Any]]] = {
        f"{more} clock": (device, {"clock_mhz": MORE * base.clock_mhz}),
        f"{more} memory bandwidth": (_faster_memory(device), {}),
    }
    cases |= {f"{more} {LABELS[name]}": (_larger(device, name), {}) for name in PLANNED}
    cases |= {f"tiles of {tile} tokens": (device, {"tile": tile}) for tile in TILES if tile != base.design.spec.rows}
    if base.network.causal:
        bits = W8 if base.workload.weight_bits.packed else W4
        cases[f"weights of {bits}"] = device, {"weight_bits": bits}
    if base.refusal and base.network.causal:
        # All the work is twice as much then, in less than twice the time. What is built works on one sequence.
        cases[f"{2 * base.sequences} sequences in flight, twice the work"] = device, {"sequences": 2 * base.sequences}
    return cases


def _faster_memory(device: Device) -> Device:
    nearest = device.memory.model_copy(update={"bandwidth_gb_s": MORE * device.memory.bandwidth_gb_s})
    return device.model_copy(update={"memories": (nearest, *device.memories[1:])})


def _larger(device: Device, name: str) -> Device:
    regions = (one.model_copy(update={name: ceil(MORE * getattr(one, name))}) for one in device.slrs)
    return device.model_copy(update={"slrs": tuple(regions)})
