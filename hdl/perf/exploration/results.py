"""What an exploration leaves in its folder: its points as tables, its front as JSON, CSV and pictures.

points.parquet: every point that fits, with what is looked up of it; points.csv: the front, with its full estimates;
front.json: the front and all counts; front/point-001.json and so on: each of its points, as `emit --point` takes it;
front.svg and front.png. The same exploration gives the same bytes.
"""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...errors import InputError
from ..drawing import as_svg
from ..spec import ARRAYS
from .evaluate import FIGURES
from .explore import Candidate, Exploration
from .space import AXES, Space
from .store import written

__all__ = ["columns_of", "picture", "write_results"]

SHOWN = 4000
"""Points beside the front that a picture has at most."""

MILLI = 1e3


def write_results(found: Exploration, folder: Path) -> None:
    """Writes all files to an exploration's folder, each of them whole or not at all.

    Raises:
        InputError: where it cannot be written; batches that are there stay.
    """
    try:
        with written(folder / "points.parquet") as file:
            pq.write_table(pa.table(points_of(found)), file)
        rows = [row_of(number, one) for number, one in enumerate(found.front, start=1)]
        with written(folder / "points.csv") as file:
            file.write(as_csv(rows).encode())
        with written(folder / "front.json") as file:
            file.write(as_json(summary_of(found)))
        write_points(found.front, folder / "front")
        drawing = picture(found)
        with written(folder / "front.svg") as file:
            file.write(as_svg(drawing, "front").encode())
        with written(folder / "front.png") as file:
            drawing.savefig(file, format="png")
    except OSError as error:
        raise InputError(
            f"output folder {folder} cannot be written: {error.strerror or error}; finished batches are kept, make room"
            " or choose another --out and run again"
        ) from error


def write_points(front: Sequence[Candidate], folder: Path) -> None:
    """A file for each point of the front, in a folder that holds no others."""
    new = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for number, one in enumerate(front, start=1):
        (new / f"point-{number:03}.json").write_bytes(as_json(one.as_dict()))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def as_json(values: Any) -> bytes:
    """JSON for people and machines."""
    return json.dumps(values, indent=2).encode() + b"\n"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of rows of the same names."""
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return text.getvalue()


def summary_of(found: Exploration) -> dict[str, Any]:
    """The front with all counts, for JSON."""
    space = found.space
    return {
        "network": asdict(space.network),
        "device": space.device.name,
        "prompt": space.prompt,
        "output": space.output,
        "seed": found.seed,
        "points": found.points,
        "feasible": found.feasible,
        "refused": found.refused,
        "dropped": found.dropped,
        "front": [one.as_dict() for one in found.front],
    }


def row_of(number: int, one: Candidate) -> dict[str, Any]:
    """A point of the front as a row."""
    spec, point = one.point.spec, one.point
    shapes = {name: "x".join(map(str, getattr(spec, name))) for name in ARRAYS}
    return {
        "point": number, "rows": spec.rows, "lanes": spec.lanes, "ffn_lanes": spec.ffn_lanes,
        "score_lanes": spec.score_lanes, **shapes, "channels": "+".join(map(str, spec.channels)),
        "weight_layers": spec.weight_layers, "cache_on_chip": getattr(spec, "cache_on_chip", ""),
        "copies": point.copies, "weight_bits": point.weight_bits, "clock_mhz": point.clock_mhz, **one.figures,
    }  # fmt: skip


def columns_of(space: Space, choices: np.ndarray) -> dict[str, np.ndarray]:
    """What choices stand for, a column for each axis."""
    axis = {name: choices[:, place] for place, name in enumerate(AXES)}
    groups = np.array(space.tables.groups)[axis["group"]]
    found = dict(zip(("rows", "lanes", "ffn_lanes", "score_lanes"), groups.T, strict=True))
    for name in ARRAYS:
        options = space.tables.options[name]
        place = options.start[axis["group"]] + axis[name]
        found[f"{name}_columns"], found[f"{name}_cascades"] = options.columns[place], options.cascades[place]
    return found | {
        "weight_layers": 1 + axis["weight_layers"],
        "copies": np.array(space.copies)[axis["copies"]],
        "weight_bits": np.array(space.weight_bits)[axis["weight_bits"]],
        "clock_mhz": np.array(space.clocks)[axis["clock"]],
        "cache_on_chip": (axis["cache"] == 0) & space.network.causal,
    }


def points_of(found: Exploration) -> dict[str, np.ndarray]:
    """Every point that fits, a column for each axis and figure, in the order in which they were drawn."""
    choices = np.concatenate([batch.choices for batch in found.batches])
    figures = np.concatenate([batch.figures for batch in found.batches])
    return columns_of(found.space, choices) | dict(zip(FIGURES, figures.T, strict=True))


def picture(found: Exploration) -> Figure:
    """The front in each of its objectives against DSPs, before the other points that fit."""
    causal = bool(found.space.network.causal and found.space.output)
    panels = [("first_token", "first token" if causal else "run", "ms", MILLI)]
    panels += [("token", "a token", "ms", MILLI)] if causal else []
    panels += [
        ("throughput", "all sequences in flight", "tokens/s", 1.0),
        ("energy", "energy proxy of a run", "J", 1.0),
    ]
    drawing = Figure(figsize=(4.2 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(drawing)
    every = np.concatenate([batch.figures for batch in found.batches])
    every = every[:: max(1, len(every) // SHOWN)]
    for axes, (name, title, unit, scale) in zip(drawing.subplots(1, len(panels)), panels, strict=True):
        place = FIGURES.index(name)
        axes.scatter(
            every[:, FIGURES.index("dsp")], every[:, place] * scale, s=4, c="0.8", linewidths=0, label="fits",
            rasterized=True,
        )  # fmt: skip
        for copies in sorted({one.point.copies for one in found.front}):
            mine = [one.figures for one in found.front if one.point.copies == copies]
            label = f"front, {copies} layer{'s' if copies > 1 else ''} on chip"
            axes.scatter([one["dsp"] for one in mine], [one[name] * scale for one in mine], s=14, label=label)
        axes.set(title=title, xlabel="DSPs", ylabel=unit, xscale="log", yscale="log")
        axes.grid(visible=True, alpha=0.3)
    drawing.axes[0].legend(fontsize="small")
    space = found.space
    work = f"{space.prompt} tokens" + (f" and {space.output} more" if space.output else "")
    count = f"{len(found.front)} of {found.points:,} points"
    drawing.suptitle(f"{space.network.name} on {space.device.board}, {work}: {count}")
    return drawing
