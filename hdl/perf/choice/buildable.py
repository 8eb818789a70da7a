"""Whether hardware can be made of a network at all, on a device however large: its family and the specs decide."""

from functools import cache

from ...model.architecture import Attention, Gate, Norm, Rotary
from ...model.families import LOADED
from ...model.network import Network
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.decoder_spec import DecoderSpec
from ..workload import MAX_LENGTH
from .one_pace import smallest

__all__ = ["BUILT_TILES", "not_built"]

BUILT_TILES = (4, 2)
"""Tokens of the tiles that are tried where no number is given. An encoder has the first that fits, and a decoder the
best; where both are about as good, the first, which is faster with prompts."""


@cache
def not_built(network: Network) -> str | None:
    """Why there is no hardware for ``network``; None where there is, on a device that has room for it.

    The specs of the smallest geometry are made, and what they refuse is the reason.
    """
    if network.family not in LOADED:
        return f"networks of the family {network.family} are only estimated"
    if lacking := _without_hardware(network):
        *first, last = lacking
        return f"there is no hardware yet for {' and '.join([', '.join(first), last] if first else lacking)}"
    refusals = []
    for rows in BUILT_TILES:
        try:
            spec = smallest(network, min(MAX_LENGTH, network.max_positions), rows)
            built = DecoderSpec.of(spec) if isinstance(spec, DecoderLayerSpec) else spec
            assert built.resources  # which makes the specs of all units
        except ValueError as error:
            refusals.append(str(error))
        else:
            return None
    return refusals[0]


def _without_hardware(network: Network) -> list[str]:
    """The parts of a network for which there are no kernels."""
    layer = network.layer
    parts = {
        "RMSNorm": any(norm.root_mean_square for norm in layer.of(Norm)),
        "rotary positions": bool(layer.of(Rotary)),
        "gates": bool(layer.of(Gate)),
        "shared heads of keys and values": any(one.kv_heads != one.heads for one in layer.of(Attention)),
    }
    return [name for name, there in parts.items() if there]
