"""Keys and values in off-chip memory: the shapes of the arrays that read them, and the channels they come through."""

from collections.abc import Iterator
from dataclasses import replace
from math import lcm

import numpy as np

from ..channel import BEAT_BYTES
from ..errors import InputError
from ..kernels.kvblocks import BLOCK
from ..kernels.scores import ScoresSpec
from ..kernels.weightedsum import WeightedSumsSpec
from .builtdecoder import BuiltDecoderSpec
from .channels import shared_channels
from .decoder import DecoderSpec
from .device import Device
from .geometry import MAX_CASCADES, MAX_COLUMNS, divisors
from .spec import LINEAR_UNITS, ArrayShape

__all__ = ["CACHE_CHANNELS", "off_chip"]

CACHE_CHANNELS = (1, 2, 4)
"""Channels that keys, and values, may have."""


def off_chip(spec: DecoderSpec, device: Device, weight_bits: int) -> BuiltDecoderSpec:
    """The decoder of a chosen geometry, with so many of its weights' channels for keys and values instead as bring both
    soonest for the last token there can be; the fewest of those as good.

    Raises:
        InputError: where the device has no port for them, or a head no columns that blocks of 8 fill.
    """
    ports = device.memory.ports - 1  # the parameters', and the embedding's
    rams = np.array([getattr(spec, name).columns * getattr(spec, name).cascades for name in LINEAR_UNITS])
    columns = np.array([getattr(spec, name).columns for name in LINEAR_UNITS])
    found: list[BuiltDecoderSpec] = []
    for channels in CACHE_CHANNELS:
        shapes = _shapes(spec, channels)
        left = min(sum(spec.channels), ports - 2 * channels)
        if left >= len(LINEAR_UNITS) and shapes is not None:
            own = tuple(shared_channels(left, rams, columns).tolist())
            fields = {name: getattr(spec, name) for name in spec.__dataclass_fields__} | shapes | {"channels": own}
            found.append(BuiltDecoderSpec(**fields, weight_bits=weight_bits, cache_channels=channels))
    if not found:
        raise InputError(
            f"keys and values in off-chip memory need 2 of {device.memory.ports} memory ports, besides "
            f"{len(LINEAR_UNITS) + 1} of all else, and heads whose size is a multiple of {BLOCK}, not {spec.head_size}"
        )
    beats = min(1.0, device.memory.rate(1) * 1e3 / (BEAT_BYTES * device.clock_mhz))
    return min(found, key=lambda one: _last_token(one, beats))


def _last_token(spec: BuiltDecoderSpec, beats: float) -> float:
    """Cycles of the last token there can be: of what is slowest, the arrays, the weights' channels or the cache's, each
    of so many beats a cycle."""
    last, layers = spec.max_length - 1, spec.max_layers
    arrays = layers * sum(spec.token_cycles(last).values()) + spec.head_cycles()
    loads = layers * max(memory.cycles(last) for memory in spec.memories.values())
    return max(arrays, spec.token_load / beats, loads / beats)


def _shapes(spec: DecoderSpec, channels: int) -> dict[str, ArrayShape] | None:
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


def _scores(spec: DecoderSpec, multiple: int) -> Iterator[ArrayShape]:
    step = lcm(multiple, spec.rows, spec.score_lanes)
    for columns in range(step, max(4 * MAX_COLUMNS, step) + 1, step):
        for cascades in divisors(spec.head_size // BLOCK):
            if cascades <= MAX_CASCADES and BLOCK * cascades % spec.lanes == 0:
                yield ArrayShape(columns, cascades)


def _sums(spec: DecoderSpec, multiple: int) -> Iterator[ArrayShape]:
    for columns in divisors(spec.head_size):
        for cascades in range(1, MAX_CASCADES + 1):
            if columns % lcm(multiple, spec.lanes) == 0 and BLOCK * cascades % spec.score_lanes == 0:
                yield ArrayShape(columns, cascades)
