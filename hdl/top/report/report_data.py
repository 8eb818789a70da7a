"""All that a report says of a model on a device, asked of the analytical model once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...model.network import Network
from ...perf.designs.floorplan import Floorplan, floorplan
from ...perf.device import Device
from ...perf.estimate import Estimate
from ...perf.exploration.explore import Exploration, explore
from ..console import Progress
from .changes import Change, changes
from .occupancy import timelines
from .timeline import Timeline

__all__ = ["Report", "front_of", "report_data"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a page shows: the estimate of the network that the command line calls ``model``, where the units of the
    design lie, when they are busy, what changes would gain, and the front. Where there is no front, ``no_front`` says
    why. ``command``: the command that made the page."""

    model: str
    found: Estimate
    plan: Floorplan
    timelines: tuple[Timeline, ...]
    changes: tuple[Change, ...]
    front: Exploration | None
    no_front: str
    command: str


def report_data(
    found: Estimate,
    asked: Mapping[str, Any],
    *,
    model: str,
    points: int,
    seed: int,
    command: str,
    progress: Progress = lambda doing: None,
) -> Report:
    """The report of an estimate that `estimate` gave for the keyword arguments ``asked``. ``model``: what the command
    line calls the network. The front is found among ``points`` designs; with 0 there is none."""
    spec = found.design.spec
    plan = floorplan(found.design.units, found.design.rest, spec.rows * spec.lanes * 16, found.device)
    assert plan is not None, "an estimate's design fits its device"
    progress("following the tiles")
    times = timelines(found)
    gains = changes(found, asked, progress)
    progress("exploring")
    front, why = front_of(
        found.network, found.device, prompt=found.prompt, output=found.output, points=points, seed=seed
    )
    return Report(
        model=model, found=found, plan=plan, timelines=times, changes=gains, front=front, no_front=why, command=command
    )  # fmt: skip


def front_of(
    network: Network, device: Device, *, prompt: int, output: int, points: int, seed: int
) -> tuple[Exploration | None, str]:
    """The exploration; or None, and why there is none."""
    if points == 0:
        return None, "There is no front, since the page was made with --points 0."
    try:
        front = explore(network, device, points=points, seed=seed, prompt=prompt, output=output)
    except InputError as error:
        return None, f"There is no front: {error}."
    if not front.front:
        counts = front.total.refused
        refused = max(counts, key=lambda name: counts[name])
        return (
            None,
            f"None of the {points:,} designs fits the device. The constraint that refuses most of them: {refused}.",
        )
    return front, ""
