"""Whether hardware can be made of a network at all, on a device however large: its family and the specs decide."""

from functools import cache

from ...model.families import BUILT
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
    if network.family not in BUILT:
        families = f"{', '.join(BUILT[:-1])} and {BUILT[-1]}"
        return f"networks of the family {network.family} are only estimated; hardware is for {families}"
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
