"""From the options of a command to the model, the device and the pipeline."""

from ..errors import InputError
from ..model.load import load_model, presets
from ..model.network import Network
from ..model.weightbits import WeightBits
from ..perf.buildable import not_built
from ..perf.device import Device, load_device
from ..perf.plan import plan
from ..perf.spec import PipelineSpec
from .commands.options import chosen_name

__all__ = ["check_built", "chosen_model", "planned"]


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
    tile: int | None,
    max_length: int | None,
    weight_bits: WeightBits,
    share: float = 1.0,
) -> tuple[Network, Device, PipelineSpec]:
    """The model, the device and the pipeline that the options ask for.

    Raises:
        InputError: as `chosen_model` and `plan`; a model that cannot be built on any device is refused before planning.
    """
    network, board = chosen_model(model), load_device(device)
    check_built(network)
    spec = plan(network, board, tile=tile, max_length=max_length, weight_bits=weight_bits, share=share)
    return network, board, spec
