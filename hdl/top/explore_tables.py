"""What `explore` shows: the Pareto front of a model's designs on a device."""

from pathlib import Path

from rich.table import Table

from ..perf.exploration.explore import Exploration
from ..perf.exploration.point import Point
from ..perf.exploration.points import CONSTRAINTS
from ..perf.streamed import StreamedSpec
from .describe import new_table

__all__ = ["counts_table", "front_table", "sentence"]

ROWS = 20
"""Points of the front that the table shows at most: they are spread over it."""

MILLI = 1e3


def front_table(found: Exploration) -> Table:
    """The front from the fastest to the smallest, or a part of it."""
    space, front = found.space, found.front
    step = max(1, -(-len(front) // ROWS))
    work = f"{space.prompt} tokens" + (f" and {space.output} more" if space.output else "")
    part = f"every {step} of " if step > 1 else ""
    causal = bool(space.network.causal and space.output)
    table = new_table(
        f"{space.network.name} on {space.device.board}, {work}: {part}{len(front)} points of the front",
        "point", "design", "tile", "bits", "MHz", "first ms" if causal else "run ms", *(["token ms"] if causal else []),
        "tokens/s", "DSP", "URAM", "J",
    )  # fmt: skip
    for number, one in list(enumerate(front, start=1))[::step]:
        figures, point = one.figures, one.point
        times = [figures["first_token_s"], figures["token_s"]] if causal else [figures["first_token_s"]]
        table.add_row(
            f"{number:03}", designed(point), str(point.spec.rows), str(point.weight_bits), str(point.clock_mhz),
            *(f"{time * MILLI:,.3f}" for time in times), f"{figures['tokens_per_s']:,.0f}", f"{figures['dsp']:,.0f}",
            f"{figures['uram']:,.0f}", f"{figures['energy_j']:,.3g}",
        )  # fmt: skip
    return table


def designed(point: Point) -> str:
    """What a design is in two words."""
    if isinstance(point.spec, StreamedSpec):
        return f"{point.kind} {point.spec.shape.columns}x{point.spec.shape.cascades}"
    return f"{point.kind}, {point.copies} layer{'s' if point.copies > 1 else ''}"


def counts_table(found: Exploration) -> Table:
    """How many points fit, and what refused the others, of each kind of design."""
    table = new_table("points", "name", *(name for kind in found.counts for name in (kind, "share")))
    counts = list(found.counts.values())
    rows = {"fit": [one.feasible for one in counts]}
    rows |= {f"refused: {name}": [one.refused[name] for one in counts] for name in CONSTRAINTS}
    dropped = sorted({name for one in counts for name in one.dropped})
    rows |= {f"front, refused: {name}": [one.dropped.get(name, 0) for one in counts] for name in dropped}
    for name, numbers in rows.items():
        if any(numbers) or name == "fit":
            of = [max(one.points, 1) for one in counts]
            cells = [(f"{n:,}", f"{n / points:.1%}") for n, points in zip(numbers, of, strict=True)]
            table.add_row(name, *(cell for pair in cells for cell in pair))
    return table


def sentence(found: Exploration, folder: Path) -> str:
    """Where it all is, and how fast it went."""
    rate = f"{found.evaluated:,} points now, {found.rate:,.0f} a second on a core" if found.evaluated else "none anew"
    return (
        f"{folder}: front.json, points.csv, points.parquet, front.svg; emit --point {folder}/front/point-001.json; "
        f"{rate}; the energy is a proxy and the clock an assumption"
    )
