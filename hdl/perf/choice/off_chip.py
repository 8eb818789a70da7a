"""Keys and values in off-chip memory: the shapes of the arrays that read them, and the channels they come through."""

from collections.abc import Iterator
from dataclasses import replace
from math import lcm

from ...errors import InputError
from ...kernels.kvblocks import BLOCK
from ...kernels.scores import ScoresSpec
from ...kernels.weightedsum import WeightedSumsSpec
from ...model.weightbits import WeightBits
from ..geometry.arrays import ArrayShape
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.decoder_spec import DecoderSpec
from .one_pace import MAX_CASCADES, MAX_COLUMNS, divisors

__all__ = ["CACHE_BANKS", "CACHE_CHANNELS", "cache_choices", "off_chip"]

CACHE_BANKS = (2, 3, 4)
"""Layers whose keys and values may lie in RAMs at once."""

CACHE_CHANNELS = (1, 2, 4)
"""Channels that keys, and values, may have."""


def cache_choices(head_size: int) -> tuple[int, ...]:
    """Those of `CACHE_CHANNELS` whose blocks fill a head's columns."""
    return tuple(channels for channels in CACHE_CHANNELS if head_size % (BLOCK * channels) == 0)


def off_chip(spec: DecoderLayerSpec, channels: int, weight_bits: WeightBits) -> DecoderSpec:
    """The decoder of a chosen geometry, with so many channels for its keys and as many for its values.

    Raises:
        InputError: where a head has no columns that blocks of 8 fill.
    """
    shapes = _shapes(spec, channels)
    if shapes is None:
        raise InputError(
            f"keys and values in off-chip memory need heads whose size is a multiple of {BLOCK * channels}, "
            f"not {spec.head_size}"
        )
    return DecoderSpec.of(spec, arrays=spec.arrays | shapes, weight_bits=weight_bits, cache_channels=channels)


def _shapes(spec: DecoderLayerSpec, channels: int) -> dict[str, ArrayShape] | None:
    """The smallest arrays for scores and sums that blocks fill and that are as fast as the chosen; else the fastest."""
    found = {}
    unit: ScoresSpec | WeightedSumsSpec
    for name, unit, choices in (("scores", spec.scores_unit, _scores), ("sums", spec.sums_unit, _sums)):
        slowest, rated = unit.tile_cycles(spec.max_length), []
        for shape in choices(spec, BLOCK * channels):
            cycles = replace(unit, columns=shape.columns, cascades=shape.cascades).tile_cycles(spec.max_length)
            rated.append((cycles if cycles > slowest else 0, shape.columns * shape.cascades, shape))
        if not rated:
            return None
        found[name] = min(rated)[-1]
    return found


def _scores(spec: DecoderLayerSpec, multiple: int) -> Iterator[ArrayShape]:
    step = lcm(multiple, spec.rows, spec.score_lanes)
    for columns in range(step, max(4 * MAX_COLUMNS, step) + 1, step):
        for cascades in divisors(spec.head_size // BLOCK):
            if cascades <= MAX_CASCADES and BLOCK * cascades % spec.lanes == 0:
                yield ArrayShape(columns, cascades)


def _sums(spec: DecoderLayerSpec, multiple: int) -> Iterator[ArrayShape]:
    for columns in divisors(spec.head_size):
        for cascades in range(1, MAX_CASCADES + 1):
            if columns % lcm(multiple, spec.lanes) == 0 and BLOCK * cascades % spec.score_lanes == 0:
                yield ArrayShape(columns, cascades)
