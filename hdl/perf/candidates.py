"""The designs that are worth an estimate: the spatial one where a layer lies on chip, and streamed ones."""

from collections.abc import Iterator
from itertools import product
from math import ceil

from ..errors import InputError
from ..model.network import Network
from .budget import shortfall
from .design import Design, SpatialDesign, StreamedDesign
from .device import Device
from .geometry import choose, divisors
from .plan import TILES
from .spec import ArrayShape
from .streamed import StreamedSpec

__all__ = ["candidates", "weight_channels"]

STREAM_ROWS = (4, 8)
STREAM_CASCADES = (2, 4, 8)
STREAM_LANES = (4, 8, 16)
MAX_STREAM_COLUMNS = 192
MAX_BLOCK_TOKENS = 512
"""Tokens whose activations are held while weights pass once."""


def candidates(
    network: Network, device: Device, *, max_length: int, tile: int | None, weight_bits: int
) -> list[Design]:
    """Designs of ``network`` that fit ``device``, for sequences of up to ``max_length``; ``tile``: only of that size.

    Raises:
        InputError: where none fits, with what lacks in the last one tried.
    """
    found: list[Design] = []
    refusal = f"the head size must be a multiple of 8, not {network.head_size}"
    # A pipeline's heads share the hidden features; those of a streamed design, and of a share of the heads, need not.
    shared = network.heads * network.head_size == network.hidden
    for rows in ((tile,) if tile else TILES) if shared else ():
        try:
            # Keys and values on chip where there is room, because decoding then reads weights alone.
            for cache in (True, False) if network.causal else (False,):
                spec = choose(
                    network, max_length, device.resources, rows=rows, channels=weight_channels(device), cache=cache
                )
                found.append(SpatialDesign(network, spec, weight_bits))
        except (InputError, ValueError) as error:
            refusal = str(error)
    found += _streamed(network, device, max_length, tile, weight_bits) if network.causal else []
    if not found:
        raise InputError(f"model {network.name!r} on device {device.name!r}: {refusal}")
    return found


def weight_channels(device: Device) -> int:
    """Memory channels for the weights: all ports but those of parameters and of keys and values, and some to spare."""
    return max(1, 3 * device.memory.ports // 4)


def _streamed(
    network: Network, device: Device, max_length: int, tile: int | None, weight_bits: int
) -> Iterator[StreamedDesign]:
    """For each shape of tile and column as many columns as fit, with the block that they leave room for."""
    for rows, cascades, lanes in product((tile,) if tile else STREAM_ROWS, STREAM_CASCADES, STREAM_LANES):
        for attention in _attention(network, rows, max(1, lanes // 8)):
            spec = _widest(network, device, max_length, rows, cascades, lanes, attention)
            if spec is not None:
                yield StreamedDesign(network, spec, weight_bits)


def _attention(network: Network, rows: int, cascades: int) -> Iterator[tuple[ArrayShape, ArrayShape]]:
    """Pairs of shapes of scores and sums, of about the same speed."""
    for keys in (16, 32):
        columns = max(d for d in divisors(network.head_size) if d <= keys)
        yield ArrayShape(max(rows, keys // rows * rows), cascades), ArrayShape(columns, cascades)


def _widest(
    network: Network,
    device: Device,
    max_length: int,
    rows: int,
    cascades: int,
    lanes: int,
    attention: tuple[ArrayShape, ArrayShape],
) -> StreamedSpec | None:
    """The most columns that fit, with the largest block that does; None where none does."""
    block = ceil(min(max_length, MAX_BLOCK_TOKENS) / rows)
    while block:
        low, high, best = 1, MAX_STREAM_COLUMNS // lanes, None
        while low <= high:
            middle = (low + high) // 2
            try:
                spec = StreamedSpec(
                    network=network, rows=rows, shape=ArrayShape(middle * lanes, cascades), block=block, lanes=lanes,
                    scores=attention[0], sums=attention[1], max_length=max_length, channels=weight_channels(device),
                )  # fmt: skip
                fits = shortfall(spec.resources, device.resources) is None
            except ValueError:
                return None
            low, high, best = (middle + 1, high, spec) if fits else (low, middle - 1, best)
        if best is not None:
            return best
        block //= 2
    return None
