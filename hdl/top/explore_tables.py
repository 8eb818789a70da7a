"""What `explore` shows: the Pareto front of a model's designs on a device."""

import shlex
from pathlib import Path

from rich.table import Table

from ..errors import InputError
from ..perf.choice.built import built_design
from ..perf.exploration.explore import Exploration
from ..perf.exploration.point import DesignPoint
from ..perf.exploration.points import CONSTRAINTS
from ..perf.exploration.results import point_name
from ..perf.geometry.streamed_spec import StreamedSpec
from ..perf.workload import Workload
from .describe import new_table
from .emitted import described, emit_command
from .flows.flow import Flow, check_flow
from .point_file import not_emitted

__all__ = ["counts_table", "design_lines", "front_table", "sentence"]

ROWS = 20
"""Points of the front that the table shows at most: they are spread over it."""

MILLI = 1e3


def design_lines(found: Exploration, folder: Path, model: str) -> list[str]:
    """Which points of the front `emit` makes, and the command for the first of them; where it makes none, the command
    for the design that `emit` chooses itself. ``model``: what the command line calls the network."""
    front, space = found.front, found.space
    if not front:
        return [
            "No design of this exploration fits the device; the table of points says which constraints refuse them."
        ]
    refusals = [not_emitted(one.point) for one in front]
    count = sum(why is None for why in refusals)
    if count:
        first = refusals.index(None)
        why = next(filter(None, refusals), "")
        rest = f"; those with no in the column emit it does not make ({why})" if why else ""
        point = str(folder / "front" / point_name(first + 1))
        return [
            f"emit makes {count} of the {len(front)} designs of the front{rest}. The fastest that it makes:",
            shlex.join(["python", "-m", "hdl.top", "emit", "--point", point]),
        ]
    none = f"Estimated only: emit makes none of the {len(front)} designs of the front"
    workload = Workload(prompt=space.prompt, output=space.output)
    try:
        other = described(built_design(space.network, space.device, workload))
        check_flow(space.device, Flow.VIVADO)
    except InputError as error:
        return [f"{none}: {error}."]
    return [
        f"{none}: {refusals[0]}. It makes another design, which estimate and describe show ({other}):",
        emit_command(model, space.network, space.device, workload),
    ]


def front_table(found: Exploration) -> Table:
    """The front from the fastest to the smallest, or a part of it."""
    space, front = found.space, found.front
    step = max(1, -(-len(front) // ROWS))
    work = f"{space.prompt} tokens" + (f" and {space.output} more" if space.output else "")
    part = f"every {step} of " if step > 1 else ""
    causal = bool(space.network.causal and space.output)
    emits = [not_emitted(one.point) is None for one in front]
    table = new_table(
        f"{space.network.name} on {space.device.board}, {work}: {part}{len(front)} points of the front",
        "point", "design", "tile", "bits", "MHz", "first ms" if causal else "run ms", *(["token ms"] if causal else []),
        "tokens/s", "DSP", "URAM", "J", *(["emit"] if (mixed := any(emits) and not all(emits)) else []),
    )  # fmt: skip
    for number, one in list(enumerate(front, start=1))[::step]:
        figures, point = one.figures, one.point
        times = [figures["first_token_s"], figures["token_s"]] if causal else [figures["first_token_s"]]
        table.add_row(
            f"{number:03}", designed(point), str(point.spec.rows), str(point.weight_bits), str(point.clock_mhz),
            *(f"{time * MILLI:,.3f}" for time in times), f"{figures['tokens_per_s']:,.0f}", f"{figures['dsp']:,.0f}",
            f"{figures['uram']:,.0f}", f"{figures['energy_j']:,.3g}",
            *(["yes" if emits[number - 1] else "no"] if mixed else []),
        )  # fmt: skip
    return table


def designed(point: DesignPoint) -> str:
    """What a design is in two words."""
    if isinstance(point.spec, StreamedSpec):
        return f"{point.kind} {point.spec.shape.columns}x{point.spec.shape.cascades}"
    return f"{point.kind}, {point.copies} layer{'s' if point.copies > 1 else ''}"


def counts_table(found: Exploration) -> Table:
    """How many points of each kind of design fit the device, and which constraints refuse the others."""
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
    """The files with the results, how fast the points were evaluated, and what the figures rest on."""
    rate = "no point was evaluated anew"
    if found.evaluated:
        rate = f"{found.evaluated:,} points were evaluated now, {found.rate:,.0f} per second and core"
    times = "All points are screened by a formula; the cycles of the front are counted tile by tile"
    if found.space.network.causal:
        times = "All times are estimates by formulas; of the design that emit makes, estimate counts the cycles"
    return (
        f"{times}. "
        f"Picture of the front: {folder}/front.svg and front.png. Tables: front.json, points.csv and points.parquet in "
        f"the same folder; each point of the front: {folder}/front. {rate[0].upper()}{rate[1:]}. J is a proxy for "
        "energy, to compare designs with; the clock is an assumption."
    )
