"""From the options of a command to the model, the device and the pipeline."""

from typing import Any, NamedTuple

from ..errors import InputError
from ..model.load import load_model, presets
from ..model.network import Network
from ..model.weightbits import W8, WeightBits
from ..perf.choice.buildable import not_built
from ..perf.choice.built import built_design
from ..perf.device import Device, load_device
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.workload import Workload
from .commands.options import chosen_name

__all__ = ["Planned", "check_built", "chosen_model", "planned"]


class Planned(NamedTuple):
    """What is to be made: the ``model``'s name, the ``device`` at its clock, and the pipeline's ``spec``; and the
    ``workload`` that it was chosen for, if more than the longest sequence was given."""

    model: str
    device: Device
    spec: PipelineSpec
    workload: Workload | None = None


def chosen_model(name: str | None) -> Network:
    """The model of that name, of which hardware can be made.

    Raises:
        InputError: where none is given, it is unknown, or known for estimates only.
    """
    return load_model(chosen_name(name, presets()))


def check_built(model: Network) -> None:
    """Refuses a model that cannot be built on any device.

    Raises:
        InputError: with the reason.
    """
    if why := not_built(model):
        raise InputError(f"model {model.name!r} cannot be built yet: {why}")


def planned(
    model: str | None,
    device: str,
    *,
    max_length: int | None = None,
    prompt: int | None = None,
    output: int | None = None,
    tile: int | None = None,
    clock_mhz: float | None = None,
    weight_bits: WeightBits = W8,
    share: float = 1.0,
) -> Planned:
    """What the options ask for.

    Raises:
        InputError: as `chosen_model` and `built_design`; for lengths that are given twice; a model that cannot be built
            on any device is refused before planning.
    """
    network, board = chosen_model(model), load_device(device)
    check_built(network)
    asked: dict[str, Any] = {"tile": tile, "clock_mhz": clock_mhz, "weight_bits": weight_bits}
    if prompt is None:
        if output is not None:
            raise InputError("--output must be given with --prompt; without it, --max-length is the whole sequence")
        workload = Workload.up_to(network, max_length, **asked)
    else:
        if max_length is not None:
            raise InputError("--max-length must be left out with --prompt: it is the sum of --prompt and --output")
        workload = Workload.of(network, prompt=prompt, output=output, **asked)
    spec = built_design(network, board, workload, share).spec
    return Planned(network.name, workload.clocked(board), spec, None if prompt is None else workload)
