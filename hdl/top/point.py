"""A point of an exploration as what is to be emitted."""

import json
from pathlib import Path

from ..errors import InputError
from ..perf.device import Device, load_device
from ..perf.exploration.point import Point
from ..perf.spec import PipelineSpec

__all__ = ["pointed", "read_point"]


def read_point(path: Path, model: str | None = None) -> tuple[Point, PipelineSpec]:
    """The point of a file that `explore` wrote, with its pipeline; of ``model``, where that is given.

    Raises:
        InputError: for a file that cannot be read or holds no point, one of another model, a decoder's, and a streamed
            design's.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"point {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"point {path} must be JSON as explore writes it: {error}") from None
    point = Point.from_dict(values, f"point {path}")
    load_device(point.device)
    name = point.network.name
    if model is not None and model != name:
        raise InputError(f"point {path} is of model {name!r}, not {model!r}; leave out --model")
    if not isinstance(point.spec, PipelineSpec):
        raise InputError(f"emission is for spatial designs so far, and point {path} is a {point.kind} one")
    if point.network.causal:
        raise InputError(f"emission is for encoders so far, and model {name!r} of point {path} is a decoder")
    return point, point.spec


def pointed(path: Path, model: str | None) -> tuple[str, Device, PipelineSpec]:
    """The name of the model, the device at the point's clock, and the pipeline of a point.

    Raises:
        InputError: see `read_point`.
    """
    point, spec = read_point(path, model)
    return point.network.name, load_device(point.device).model_copy(update={"clock_mhz": point.clock_mhz}), spec
