"""Llama-2-7B on 1 to 64 FPGAs: how it is divided, how well that scales, and what bends the curve.
``python -m bench.scaling``; ``--write`` puts the tables into docs/scaling.md and the curves into docs/scaling.svg."""

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from rich.console import Console

from hdl.perf import Partition, scaling
from hdl.perf.drawing import as_svg
from hdl.perf.partitioning.device_split import CAUSES
from hdl.top.scale_tables import HEADINGS, assumptions, figures, table

DOCS = Path(__file__).parents[1] / "docs"

MODEL = "llama-2-7b"

LEAST_SHARE = 0.005
"""Losses below are left out of the table."""


class Case(NamedTuple):
    """A device, and how many sequences are in flight on all that there are of it."""

    device: str
    sequences: int

    def __str__(self) -> str:
        flight = "1 sequence" if self.sequences == 1 else f"{self.sequences} sequences"
        return f"{self.device}, {flight}"


CASES = (Case("u280", 1), Case("u280", 16), Case("u55c", 64))

INTRODUCTION = """\
# Llama-2-7B on 1 to 64 FPGAs

`python -m bench.scaling --write` writes this page. `python -m hdl.top --model llama-2-7b scale` prints a single
curve. All figures are estimates, with prompts of 128 tokens, 64 more tokens for each sequence, and 8-bit weights.

![efficiency and tokens per second against the number of devices](scaling.svg)

A split "t x p" has p stages of consecutive layers, with t devices in each stage. The t devices divide every layer
of their stage: QKV and FFN1 by outputs, projection and FFN2 by inputs. This costs two ring all-reduces of int16 in
each layer. The last stage also has the head. `hdl.perf.estimate` estimates each share as a network of its own,
within all constraints of its device. The table shows the split that finishes the whole work first; it may leave
devices idle. Sequences are decoded in as many groups as there are stages.

Speedup compares the time of the whole work with the time on the smallest number of devices that hold the model.
Efficiency is speedup divided by devices. Energy is that of all boards. The losses account for all time of all
devices, so their sum is what efficiency lacks:

| loss | what it contains |
|---|---|
| compute | longer work: smaller shares leave passes of the arrays unfilled, smaller groups leave tiles unfilled |
| memory bandwidth | more reading in total: each group of sequences reads the weights again |
| row-wise units | units that need whole rows: all devices of a stage do the same work |
| link latency, link bandwidth | sending: messages around a ring, activations to the next stage; nothing overlaps |
| pipeline bubbles | waiting: there are fewer groups than stages, or prompts fill the stages |
| divisibility of heads/layers | waiting for a stage that has more layers or the head |
| on-chip memory | a gain, shown as a negative loss: more data fits on chip |

The time of idle devices is added to the loss that would grow most in the best split with more devices. Where there
is no such split, it is added to divisibility. The reason in a row is the loss that grew most since the last row
with at least the same efficiency. Where the curve is straight, the reason is the limit of a single device.
"""


def markdown(curves: dict[Case, list[Partition]]) -> str:
    """The tables as a document."""
    lines = [INTRODUCTION]
    for case, curve in curves.items():
        lines += [f"## {case} in flight", "", *rows(HEADINGS, [figures(one) for one in curve]), ""]
        shown = [cause for cause in CAUSES if any(abs(one.losses[cause]) >= LEAST_SHARE for one in curve)]
        cells = [(str(one.devices), *(f"{one.losses[cause]:.1%}" for cause in shown)) for one in curve]
        lines += ["Losses, as shares of all devices' time:", "", *rows(("devices", *shown), cells), ""]
        sentence = assumptions(curve)
        lines += [sentence[0].upper() + sentence[1:], ""]
    return "\n".join(lines)


def rows(headings: tuple[str, ...], cells: list[tuple[str, ...]]) -> list[str]:
    """A table's lines, with numbers to the right."""
    rule = "|".join("---" if heading == "reason" else "---:" for heading in headings)
    return [f"| {' | '.join(line)} |" if line else f"|{rule}|" for line in (headings, (), *cells)]


def picture(curves: dict[Case, list[Partition]]) -> str:
    """Efficiency of each curve, its points in the colours of their reasons, and tokens a second of all, as SVG."""
    figure = Figure(figsize=(9.5, 7), layout="constrained", facecolor="white")
    panels = figure.subplots(2, 2).flatten()
    rates = panels[-1]
    colours = dict(zip(CAUSES, matplotlib.colormaps["tab10"].colors, strict=False))
    for axes, (case, curve) in zip(panels, curves.items(), strict=False):
        counts = [one.devices for one in curve]
        axes.plot(counts, [one.efficiency for one in curve], color="lightgrey", zorder=1)
        for cause in dict.fromkeys(one.reason for one in curve):
            points = [(one.devices, one.efficiency) for one in curve if one.reason == cause]
            axes.scatter(*zip(*points, strict=True), color=colours[cause], label=cause, zorder=2)
        axes.set_ylim(0, 1.08)
        axes.set_title(f"efficiency and what bends it: {case}", fontsize=10)
        axes.legend(fontsize=7, loc="lower left")
        rates.plot(counts, [one.tokens_a_second for one in curve], marker="o", markersize=4, label=str(case))
    rates.set_yscale("log", base=2)
    rates.yaxis.set_major_formatter("{x:,.0f}")
    rates.set_title("output tokens a second", fontsize=10)
    rates.legend(fontsize=8)
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks := [1, 2, 4, 8, 16, 32, 64], labels=[str(tick) for tick in ticks])
        axes.set_xlabel("devices")
        axes.grid(alpha=0.3)
    return as_svg(figure, MODEL)


def main() -> int:
    """Prints the tables, and writes them where asked."""
    console = Console(highlight=False, width=110)
    curves = {}
    for case in CASES:
        curves[case] = scaling(MODEL, case.device, sequences=case.sequences)
        console.print(table(curves[case]), assumptions(curves[case]), "")
    if "--write" in sys.argv[1:]:
        DOCS.mkdir(exist_ok=True)
        (DOCS / "scaling.md").write_text(markdown(curves))
        (DOCS / "scaling.svg").write_text(picture(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
