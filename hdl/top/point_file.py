"""A point of an exploration as what is to be emitted."""

from pathlib import Path

from ..errors import InputError
from ..perf.choice.buildable import not_built
from ..perf.device import load_device
from ..perf.exploration.point import DesignPoint
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..textfile import parse_json, read_text
from .flows.flow import Flow, check_flow
from .planned import Planned

__all__ = ["not_emitted", "pointed", "read_point"]


def not_emitted(point: DesignPoint) -> str | None:
    """Why `emit` does not make the design of a point; None where it does."""
    if why := not_built(point.network):
        return why
    if not isinstance(point.spec, PipelineSpec):
        return f"emit makes spatial designs, not {point.kind} ones"
    if point.network.causal:
        return "emit takes points of encoders only; without --point it chooses a decoder's design itself"
    if point.copies > 1:
        return f"emit makes one copy of a layer's hardware, not {point.copies}; choose a point with 1 layer on chip"
    try:
        check_flow(load_device(point.device), Flow.VIVADO)
    except InputError as error:
        return str(error)
    return None


def read_point(path: Path, model: str | None = None) -> tuple[DesignPoint, PipelineSpec]:
    """The point of a file that `explore` wrote, with its pipeline; of ``model``, where that is given.

    Raises:
        InputError: for a file that cannot be read or holds no point, a point of another model, and a design that `emit`
            does not make.
    """
    point = DesignPoint.from_dict(parse_json(read_text(path, "point"), f"point {path}"), f"point {path}")
    load_device(point.device)
    name = point.network.name
    if model is not None and model != name:
        raise InputError(f"point {path} is of model {name!r}, not {model!r}; leave out --model")
    if why := not_emitted(point):
        raise InputError(f"point {path} cannot be emitted: {why}")
    assert isinstance(point.spec, PipelineSpec)
    return point, point.spec


def pointed(path: Path, model: str | None) -> Planned:
    """What a point says is to be made, at the point's clock.

    Raises:
        InputError: see `read_point`.
    """
    point, spec = read_point(path, model)
    device = load_device(point.device).model_copy(update={"clock_mhz": point.clock_mhz})
    return Planned(point.network.name, device, spec)
