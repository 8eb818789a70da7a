"""Pictures of where an FPGA wins against a GPU."""

from collections.abc import Sequence
from math import isnan, log2, nan

from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from ..perf.comparison.compare import Comparison, Metric
from ..perf.drawing import as_svg

__all__ = ["picture", "reach"]

LEAST = 0.1
"""The smallest reach of a colour scale, so that equal devices still have one."""

DARK = 0.65
"""Share of the colour scale beyond which a cell is so dark that its number is white."""

Ratios = Sequence[Sequence[float]]


def picture(found: Comparison, metric: Metric) -> str:
    """The map of a metric as SVG, the same bytes for the same figures: rows and columns as in the table, a line where
    the winner changes, and colours that reach as far as the figures do, equally far on both sides of 1."""
    ratios = [
        [point.ratio(metric) if (point := found.at(prompt, output)) else nan for output in found.outputs]
        for prompt in found.prompts
    ]
    figure = Figure(figsize=(2.9 + 0.8 * len(found.outputs), 2.0 + 0.5 * len(found.prompts)), layout="constrained")
    axes = figure.subplots()
    far = reach(ratios)
    image = axes.imshow(
        [[log2(ratio) for ratio in row] for row in ratios],
        cmap="RdBu", norm=TwoSlopeNorm(vmin=-far, vcenter=0, vmax=far), aspect="auto",
    )  # fmt: skip
    draw_numbers(axes, ratios, far)
    draw_line(axes, ratios)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(len(found.outputs)), [f"{output:,}" for output in found.outputs])
    axes.set_yticks(range(len(found.prompts)), [f"{prompt:,}" for prompt in found.prompts])
    axes.set_xlabel("output tokens" if found.network.causal else "no output")
    axes.set_ylabel("prompt tokens" if found.network.causal else "tokens")
    axes.set_title(f"{found.network.name}, {metric}\n{found.device.name} against {found.against.name}", fontsize=9)
    bar = figure.colorbar(image, ax=axes)
    ticks = [-far, -far / 2, 0, far / 2, far]
    bar.set_label(f"times that {found.device.name} is better:\nabove the line at 1 it wins")
    bar.set_ticks(ticks, labels=[f"{2.0**tick:.2f}" for tick in ticks])
    bar.ax.axhline(0, color="black", linewidth=2)
    return as_svg(figure, metric)


def reach(ratios: Ratios) -> float:
    """How far the colours reach from 1 on either side, as a power of two: as far as the ratios."""
    return max([LEAST, *(abs(log2(ratio)) for row in ratios for ratio in row if not isnan(ratio))])


def draw_numbers(axes: Axes, ratios: Ratios, far: float) -> None:
    """The ratio in each cell that has one."""
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            if not isnan(ratio):
                colour = "white" if abs(log2(ratio)) > DARK * far else "black"
                axes.text(x, y, f"{ratio:.2f}", ha="center", va="center", fontsize=8, color=colour)


def draw_line(axes: Axes, ratios: Ratios) -> None:
    """A line between neighbouring cells of which one is below 1 and the other is not."""
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            if x + 1 < len(row) and differ(ratio, row[x + 1]):
                axes.plot([x + 0.5] * 2, [y - 0.5, y + 0.5], color="black", linewidth=2, gid="line at 1")
            if y + 1 < len(ratios) and differ(ratio, ratios[y + 1][x]):
                axes.plot([x - 0.5, x + 0.5], [y + 0.5] * 2, color="black", linewidth=2, gid="line at 1")


def differ(one: float, other: float) -> bool:
    """Whether two cells have different winners."""
    return not isnan(one) and not isnan(other) and (one < 1) != (other < 1)
