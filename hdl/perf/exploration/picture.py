"""The picture of an exploration: its front in each objective against DSPs, before the other points that fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .explore import Exploration
from .front import FrontPoint
from .points import FIGURES
from .spatial.spatial_axes import MAX_COPIES

__all__ = ["picture"]

SHOWN = 4000
"""Points of each kind beside the front that a picture has at most."""

MILLI = 1e3

DSP = FIGURES.index("dsp")

MARKERS = {"spatial": "o", "streamed": "^"}
BEHIND = {"spatial": "0.80", "streamed": "#f3d9c0"}
COLORS = {copies: f"C{copies - 1}" for copies in range(1, MAX_COPIES + 1)}


def picture(found: Exploration) -> Figure:
    """The front in each of its objectives against DSPs, before the other points that fit: the kinds of design by their
    markers, spatial ones by the layers on chip."""
    causal = bool(found.space.network.causal and found.space.output)
    panels = [("first_token_s", "Time to first token" if causal else "Time of a run", "ms", MILLI)]
    panels += [("token_s", "Time of an output token", "ms", MILLI)] if causal else []
    panels += [
        ("tokens_per_s", "Throughput, all sequences in flight", "tokens/s", 1.0),
        ("energy_j", "Energy of a run (proxy)", "J", 1.0),
    ]
    across = 2 if len(panels) > 3 else len(panels)
    drawing = Figure(figsize=(5.2 * across, 4.2 * -(-len(panels) // across) + 0.6), layout="constrained", dpi=130)
    FigureCanvasAgg(drawing)
    grid = drawing.subplots(-(-len(panels) // across), across, squeeze=False).flat
    for axes, (name, title, unit, scale) in zip(grid, panels, strict=True):
        if not found.total.feasible:
            axes.text(0.5, 0.5, "no design fits the device", transform=axes.transAxes, ha="center")
            axes.set(xlabel="DSPs of the design", ylabel=f"{title} [{unit}]")
            continue
        draw_behind(axes, found, name, scale)
        draw_front(axes, found.front, name, scale)
        axes.set(xlabel="DSPs of the design", ylabel=f"{title} [{unit}]", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(plain)
            axis.set_minor_formatter(NullFormatter())
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.grid(visible=True, alpha=0.3)
    labels = drawing.axes[0].get_legend_handles_labels()
    drawing.legend(*labels, loc="outside lower center", ncols=4, fontsize="small", markerscale=1.5)
    space, total = found.space, found.total
    work = f"{space.prompt} tokens" + (f" in, {space.output} out" if space.output else "")
    count = f"front of {len(found.front)} among {total.feasible:,} designs that fit, of {total.points:,}"
    drawing.suptitle(f"{space.network.name} on {space.device.board}, {work}: {count}")
    return drawing


def draw_behind(axes: Axes, found: Exploration, name: str, scale: float) -> None:
    """The points that fit, some of each kind."""
    for kind, batches in found.batches.items():
        every = np.concatenate([np.zeros((0, len(FIGURES))), *(batch.figures for batch in batches)])
        every = every[:: max(1, len(every) // SHOWN)]
        axes.scatter(
            every[:, DSP], every[:, FIGURES.index(name)] * scale, s=3, c=BEHIND[kind], linewidths=0, rasterized=True,
            label=f"{kind}, fits",
        )  # fmt: skip


def draw_front(axes: Axes, front: Sequence[FrontPoint], name: str, scale: float) -> None:
    """The front, kind by kind, and by the layers on chip."""
    for kind, copies in sorted({(one.point.kind, one.point.copies) for one in front}):
        mine = [one.figures for one in front if (one.point.kind, one.point.copies) == (kind, copies)]
        layers = f", {copies} layer{'s' if copies > 1 else ''} on chip" if kind == "spatial" else ""
        color = COLORS[copies] if kind == "spatial" else "black"
        axes.scatter(
            [one["dsp"] for one in mine], [one[name] * scale for one in mine], s=16, marker=MARKERS[kind], color=color,
            linewidths=0, label=f"{kind}{layers}: {len(mine)} of the front",
        )  # fmt: skip


def plain(value: float, place: Any) -> str:
    """A tick without an exponent."""
    return f"{value:,.0f}" if value >= 1 else f"{value:.6g}"
