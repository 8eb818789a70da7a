"""What an exploration leaves in its folder: its points as tables, its front as JSON, CSV and pictures.

points.parquet: every point that fits, with what is looked up of it; points.csv: the front, with its full estimates;
front.json: the front and all counts; front/point-001.json and so on: each of its points, as `emit --point` takes it;
front.svg and front.png. The same exploration gives the same bytes.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import InputError
from ...output import written
from ..drawing import as_svg
from ..geometry.arrays import ArrayShape
from .explore import Exploration
from .front import FrontPoint
from .picture import picture
from .points import FIGURES
from .store import kept

__all__ = ["point_name", "write_results"]

OF_WORK = ("max_length", "max_layers")
"""Fields of a geometry that are alike in all points."""


def write_results(found: Exploration, folder: Path) -> None:
    """Writes all files to an exploration's folder, each of them whole or not at all.

    Raises:
        InputError: where it cannot be written; batches that are there stay.
    """
    try:
        with written(folder / "points.parquet") as file:
            pq.write_table(points_of(found), file)
        with written(folder / "points.csv") as file:
            file.write(as_csv(found.front).encode())
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
            f"output folder {folder} cannot be written: {error.strerror or error}; {kept(folder)}; make room or choose "
            "another --out"
        ) from error


def point_name(number: int) -> str:
    """The name of the file of a point of the front, counted from 1, in the folder ``front``."""
    return f"point-{number:03}.json"


def write_points(front: Sequence[FrontPoint], folder: Path) -> None:
    """A file for each point of the front; those of an earlier front go, and files of other names stay."""
    files = {folder / point_name(number): one for number, one in enumerate(front, start=1)}
    for path, one in files.items():
        with written(path) as file:
            file.write(as_json(one.as_dict()))
    for path in folder.glob("point-*.json"):
        if path not in files:
            path.unlink()


def as_json(values: Any) -> bytes:
    """JSON for people and machines."""
    return json.dumps(values, indent=2).encode() + b"\n"


def as_csv(front: Sequence[FrontPoint]) -> str:
    """The front as a table; what a kind of design does not have is left empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns_of(front), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(row_of(number, one) for number, one in enumerate(front, start=1))
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
        **asdict(found.total),
        "kinds": {name: asdict(counts) for name, counts in found.counts.items()},
        "front": [one.as_dict() for one in found.front],
    }


def geometry_of(one: FrontPoint) -> dict[str, Any]:
    """The geometry of a point as columns: shapes are columns x cascades, a layer's channels those of its linear
    units."""
    fields = {name: value for name, value in one.point.geometry.items() if name not in OF_WORK}
    fields |= fields.pop("arrays", {})
    return {
        ("array" if name == "shape" else name):
            "x".join(map(str, value)) if isinstance(value, ArrayShape)
            else "+".join(map(str, value)) if isinstance(value, tuple)
            else value
        for name, value in fields.items()
    }  # fmt: skip


def row_of(number: int, one: FrontPoint) -> dict[str, Any]:
    """A point of the front as a row."""
    point = one.point
    own = {"copies": point.copies, "weight_bits": point.weight_bits, "clock_mhz": point.clock_mhz}
    return {"point": number, "kind": point.kind, **geometry_of(one), **own, **one.figures}


def columns_of(front: Sequence[FrontPoint]) -> list[str]:
    """The columns of the front as a table: those of the kinds that are in it."""
    geometry = dict.fromkeys(name for one in front for name in geometry_of(one))
    return ["point", "kind", *geometry, "copies", "weight_bits", "clock_mhz", *FIGURES]


def points_of(found: Exploration) -> pa.Table:
    """Every point that fits, a column for each axis and figure, kind by kind in the order in which they were drawn;
    empty where a kind has no such axis."""
    tables = []
    for kind in found.space.kinds:
        batches = found.batches[kind.name]
        if not batches:
            continue
        choices = np.concatenate([batch.choices for batch in batches])
        figures = dict(zip(FIGURES, np.concatenate([batch.figures for batch in batches]).T, strict=True))
        names = pa.array([kind.name] * len(choices)).dictionary_encode()
        tables.append(pa.table({"kind": names} | kind.columns(choices) | figures))
    return pa.concat_tables(tables, promote_options="default")
