"""The pictures of a report: roofline, front, and time as strips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...perf.designs.constraints import binding
from ...perf.designs.phase import Phase
from ...perf.estimate import Estimate, Timing, estimate_design
from ...perf.exploration.explore import Exploration
from ...perf.exploration.point import DesignPoint as Explored
from ...perf.exploration.points import FIGURES
from .plots import Dot, Label, Line, Plot, axis_of
from .text import number, rounded
from .timeline import Span, Timeline

__all__ = ["RooflinePoint", "Strip", "front_plots", "roofline", "roofline_points", "strips"]

GIGA, MILLI = 1e9, 1e3
SHOWN = 500
"""Points beside the front that a picture has at most."""

WIDTH, PITCH, HEIGHT = 1000, 20, 14
"""Of strips: units of their whole length, from one to the next, and of one."""

GAP, LEAST = 4.0, 0.6
"""Units that spans lie apart at least to be told apart, and that a mark is wide and high at least."""

BATCHES = (4, 16)
"""Sequences in flight that the roofline shows beside what was asked for."""


@dataclass(frozen=True)
class RooflinePoint:
    """A phase on the roofline: multiplications for each byte from memory, and a second."""

    name: str
    intensity: float
    rate: float
    ceiling: float

    @property
    def ratio(self) -> float:
        """Share of the roof above it that is reached."""
        return self.rate / self.ceiling


def roofline_points(found: Estimate) -> list[RooflinePoint]:
    """The prompt, the token, and the token of more sequences where a design has room for their keys and values."""

    def point(name: str, phase: Phase, timing: Timing) -> RooflinePoint:
        ceiling = phase.macs / timing.limit
        return RooflinePoint(name, phase.macs / phase.bytes, phase.macs / timing.seconds, ceiling)

    points = [point("prompt" if found.network.causal else "text", found.prefill, found.first_token)]
    if found.decode is None or found.token is None:
        return points
    points.append(point("token", found.decode, found.token))
    for count in BATCHES if found.refusal and found.design.cache_bytes else ():
        if count > found.sequences:
            more = estimate_design(
                found.design, found.device, replace(found.workload, sequences=count, held=count), counted=False
            )
            assert more.decode is not None
            assert more.token is not None
            if binding(more.constraints) is None:
                points.append(point(f"token of {count} sequences", more.decode, more.token))
    return points


def roofline(found: Estimate) -> Plot:
    """Multiplications a second against those a byte, under the ceilings of the design, the device and its memory."""
    points = roofline_points(found)
    bandwidth = found.device.memory.bandwidth_gb_s
    clock = found.clock_mhz * 1e6
    design, device = (2 * dsps * clock / GIGA for dsps in (found.resources.dsp, found.device.resources.dsp))
    intensities = [one.intensity for one in points]
    ridge = device / bandwidth
    left, right = min(*intensities, ridge) / 6, max(*intensities, ridge) * 4
    rates = [one.rate / GIGA for one in points]
    x = axis_of([left, right], "multiplications per byte from memory", upright=False)
    y = axis_of([left * bandwidth, *rates, device * 1.6], "10⁹ multiplications per second", upright=True)
    # Words stand to the right of a point where there is room for them.
    narrow = x.low * (x.high / x.low) ** 0.8
    labels = [
        Label(
            one.intensity, one.rate / GIGA, one.name.removeprefix("token of "),
            *((-9, 4, "end") if one.intensity > narrow else (9, 4)),
        )
        for one in points
    ]  # fmt: skip
    lower = x.low**0.7 * ridge**0.3
    labels += [
        Label(x.high, device, f"device {number(round(device))}", -4, -6, "end"),
        Label(x.low, design, f"design {number(round(design))}", 4, -6),
        Label(lower, lower * bandwidth, f"{number(bandwidth)} GB/s", 9, 6),
    ]
    return Plot(
        title="Roofline",
        description="; ".join(f"{p.name}: {number(p.rate / GIGA)} of {number(p.ceiling / GIGA)} G/s" for p in points),
        x=x, y=y,
        lines=[
            Line([(x.low, x.low * bandwidth), (ridge, device)], "memory"),
            Line([(ridge, device), (x.high, device)], "device"),
            Line([(x.low, design), (x.high, design)], "design"),
        ],
        dots=[Dot(one.intensity, one.rate / GIGA, "own", one.name) for one in points],
        labels=labels,
    )  # fmt: skip


def front_plots(found: Estimate, front: Exploration) -> list[Plot]:
    """The front in each of its objectives against DSPs, before the other points that fit, with the report's design."""
    causal = bool(found.network.causal and found.output)
    panels = [
        (
            "first_token_s",
            "time to the first token" if causal else "time of the text",
            "ms",
            MILLI,
            found.first_token.seconds,
        )
    ]
    if found.token is not None:
        panels.append(("token_s", "time of a token", "ms", MILLI, found.token.seconds))
    panels.append(
        ("tokens_per_s", "throughput with all sequences at once", "tokens per second", 1.0, found.tokens_a_second)
    )
    every = np.concatenate([batch.figures for batches in front.batches.values() for batch in batches])
    every = every[:: max(1, -(-len(every) // SHOWN))]
    dsps = FIGURES.index("dsp")
    plots = []
    for name, title, unit, scale, own in panels:
        place = FIGURES.index(name)
        dots = [Dot(row[dsps], row[place] * scale, "fits") for row in every.tolist()]
        dots += [Dot(one.figures["dsp"], one.figures[name] * scale, kind_of(one.point)) for one in front.front]
        dots.append(Dot(found.resources.dsp, own * scale, "own", "the design of this page"))
        plots.append(
            Plot(
                title=title,
                description=f"{len(front.front)} points of the front, {title} in {unit} against DSPs",
                x=axis_of([dot.x for dot in dots], "DSPs", upright=False),
                y=axis_of([dot.y for dot in dots], unit, upright=True),
                dots=dots,
            )
        )
    return plots


def kind_of(point: Explored) -> str:
    """How a point of the front is drawn: one layer on chip, several, or streamed."""
    if point.kind == "streamed":
        return "streamed"
    return "many" if point.copies > 1 else "one"


@dataclass(frozen=True)
class Strip:
    """A unit's row of a timeline: its name, the share of the time that it is busy, and its spans of even and odd layers
    as the data of paths."""

    name: str
    share: float
    even: str
    odd: str


def strips(timeline: Timeline) -> list[Strip]:
    """The rows of a picture, from the first unit down."""
    length = timeline.end - timeline.start
    rows = []
    for place, (name, spans) in enumerate(timeline.rows.items()):
        paths = (
            "".join(_path(timeline, spans, parity, (place + 1) * PITCH - (PITCH - HEIGHT) // 2)) for parity in (0, 1)
        )
        rows.append(Strip(name, timeline.busy[name] / length, *paths))
    return rows


def _path(timeline: Timeline, spans: Sequence[Span], parity: int, foot: int) -> Iterator[str]:
    """Rectangles of the spans of every other layer (or tile), standing at ``foot``. Those of one that would all but
    touch are one, as much lower as the unit is less busy in it: the area is the work."""
    scale = WIDTH / (timeline.end - timeline.start)
    groups: list[tuple[float, float, int, float]] = []
    for span in sorted((one for one in spans if one.turn % 2 == parity), key=lambda one: one.start):
        left, right, turn, work = groups[-1] if groups else (0.0, 0.0, -1, 0.0)
        if turn == span.turn and (span.start - right) * scale < GAP:
            groups[-1] = left, max(right, span.end), turn, work + span.work
        else:
            groups.append((span.start, span.end, span.turn, span.work))
    for left, right, _, work in groups:
        share = min(1.0, work / (right - left))
        at, wide = (left - timeline.start) * scale, max((right - left) * scale, LEAST)
        high = max(HEIGHT * share, LEAST)
        yield f"M{at:.1f} {foot}h{wide:.1f}v{-high:.1f}h{-wide:.1f}z"


def time_ticks(timeline: Timeline, clock_mhz: float) -> list[tuple[float, str]]:
    """Round times of a picture: where each lies, as a share, and its words."""
    seconds = (timeline.end - timeline.start) / (clock_mhz * 1e6)
    step = next(
        base * 10.0**power for power in range(-12, 6) for base in (1, 2, 5) if seconds / (base * 10.0**power) <= 5
    )
    return [(count * step / seconds, rounded(count * step)) for count in range(6) if count * step <= seconds]
