"""Pictures of where an FPGA wins against a GPU."""

from math import log2

from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from ..perf.comparison.compare import Comparison, Metric
from ..perf.drawing import as_svg

__all__ = ["picture"]

STEEPEST = 4.0
"""The ratio, as a power of two, at which a picture's colours end: 16 times better or worse."""


def picture(found: Comparison, metric: Metric) -> str:
    """The map of a metric as SVG, the same bytes for the same figures."""
    nothing = float("nan")
    ratios = [
        [point.ratio(metric) if (point := found.at(prompt, output)) else nothing for output in found.outputs]
        for prompt in found.prompts
    ]
    figure = Figure(figsize=(2.5 + 0.8 * len(found.outputs), 1.8 + 0.5 * len(found.prompts)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        [[log2(ratio) for ratio in row] for row in ratios],
        cmap="RdYlGn", norm=TwoSlopeNorm(vmin=-STEEPEST, vcenter=0, vmax=STEEPEST), origin="lower", aspect="auto",
    )  # fmt: skip
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            if ratio == ratio:  # where there is a point: nothing else differs from itself
                axes.text(x, y, f"{ratio:.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(found.outputs)), [f"{output:,}" for output in found.outputs])
    axes.set_yticks(range(len(found.prompts)), [f"{prompt:,}" for prompt in found.prompts])
    axes.set_xlabel("output tokens")
    axes.set_ylabel("prompt tokens")
    axes.set_title(f"{found.network.name}, {metric}\n{found.device.name} against {found.against.name}", fontsize=9)
    bar = figure.colorbar(image, ax=axes)
    ticks = range(-int(STEEPEST), int(STEEPEST) + 1, 2)
    bar.set_label("times better; above 1 the FPGA wins")
    bar.set_ticks(list(ticks), labels=[f"{2.0**tick:g}" for tick in ticks])
    return as_svg(figure, metric)
