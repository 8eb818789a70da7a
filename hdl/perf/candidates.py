"""The designs that are worth an estimate: the spatial one where a layer lies on chip, and streamed ones."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from math import ceil

from ..errors import InputError
from ..model.network import Network
from ..resources import Resources
from .budget import scaled, shortfall
from .channels import copy_channels, weight_channels
from .chooser import choose
from .decoder import DecoderSpec
from .design import Design, SpatialDesign, StreamedDesign
from .device import Device
from .geometry import divisors
from .offchip import cache_choices
from .plan import TILES
from .spec import ArrayShape, PipelineSpec
from .streamed import StreamedSpec

__all__ = ["MAX_STREAM_COLUMNS", "blocks", "candidates", "not_spatial"]

STREAM_CASCADES = (2, 4, 8)
STREAM_LANES = (4, 8, 16)
MAX_STREAM_COLUMNS = 192
MAX_BLOCK_TOKENS = 512
"""Tokens whose activations are held while weights pass once."""


def candidates(
    network: Network,
    device: Device,
    *,
    max_length: int,
    tile: int | None,
    weight_bits: int,
    cost: Callable[[Design], float],
    share: float = 1.0,
) -> list[Design]:
    """Designs of ``network`` that fit ``device``, for sequences of up to ``max_length``.

    Args:
        tile: only of that size.
        cost: what a design is judged by, where there is a choice: less is better.
        share: of the resources that are planned to be used, for designs that leave more room.

    Raises:
        InputError: where none fits, with what each kind of design lacks.
    """
    available = scaled(device.resources, share)
    channels = weight_channels(device, causal=network.causal, weight_bits=weight_bits)
    kinds: dict[str, Iterator[Design | str]] = {
        "spatial": _spatial(network, available, channels, device, max_length, tile, weight_bits, cost)
    }
    if network.causal:
        kinds["streamed"] = _streamed(network, available, device.memory.ports, max_length, tile, weight_bits)
    found: list[Design] = []
    refusals: dict[str, str] = {}
    for kind, designs in kinds.items():
        for one in designs:
            if isinstance(one, str):
                refusals.setdefault(kind, one)
            else:
                found.append(one)
    if not found:
        reasons = "; ".join(f"{kind} design: {why}" for kind, why in refusals.items())
        raise InputError(f"model {network.name!r} does not fit device {device.name!r}: {reasons}")
    return found


def _spatial(
    network: Network,
    available: Resources,
    channels: int,
    device: Device,
    max_length: int,
    tile: int | None,
    weight_bits: int,
    cost: Callable[[Design], float],
) -> Iterator[Design | str]:
    """The best pipeline for each tile, and for keys and values on chip and off it, through ports of their own; or why
    there is none."""
    if why := not_spatial(network):
        yield why
        return
    choices = (0, *cache_choices(network.head_size)) if network.causal else (0,)
    for rows in (tile,) if tile else TILES:
        for ports in choices:
            build = partial(_ported, network, weight_bits, ports)
            own = int(copy_channels(channels, device, 1, 2 * ports))
            try:
                spec = choose(
                    network, max_length, available, rows=rows, channels=own, cache=network.causal and not ports,
                    cost=partial(_judged, cost, build),
                )  # fmt: skip
                yield (found := build(spec))
            except (InputError, ValueError) as error:
                yield str(error)
                continue
            if ports and not _waits(found, device, max_length - 1):
                break


def _ported(network: Network, weight_bits: int, ports: int, spec: PipelineSpec) -> SpatialDesign:
    """The design of a geometry, a decoder's with so many ports for keys off chip, and as many for values."""
    ported = replace(spec, cache_channels=ports) if isinstance(spec, DecoderSpec) else spec
    return SpatialDesign(network, ported, weight_bits)


def _judged(cost: Callable[[Design], float], build: Callable[[PipelineSpec], Design], spec: PipelineSpec) -> float:
    """The cost of what is built of a geometry."""
    return cost(build(spec))


def _waits(design: Design, device: Device, context: int) -> bool:
    """Whether a token behind so many others would be faster with more ports for keys and values."""
    phase = design.decode(context)
    given, beside = (device.sustained(drawn(device.memory)) for drawn in (design.bandwidth, design.cache_bandwidth))
    return phase.cycles_at(given, beside) > phase.cycles_at(given)


def not_spatial(network: Network) -> str | None:
    """Why a network has no spatial design at all; None where it may. A pipeline's heads share the hidden features;
    those of a streamed design, and of a share of the heads, need not."""
    if network.heads * network.head_size == network.hidden:
        return None
    return f"heads must share the {network.hidden} hidden features, not have {network.head_size} each"


def _streamed(
    network: Network, available: Resources, channels: int, max_length: int, tile: int | None, weight_bits: int
) -> Iterator[Design | str]:
    """For each shape of tile and column, and each block, as many columns as fit; or what even the smallest array
    lacks."""
    for rows, cascades, lanes in product((tile,) if tile else TILES, STREAM_CASCADES, STREAM_LANES):
        for (scores, sums), block in product(_attention(network, rows, max(1, lanes // 8)), blocks(rows, max_length)):
            build = partial(
                StreamedSpec, network=network, rows=rows, block=block, lanes=lanes, scores=scores, sums=sums,
                max_length=max_length, channels=channels,
            )  # fmt: skip
            try:
                spec = _widest(build, available, lanes, cascades)
                yield StreamedDesign(network, spec, weight_bits)
            except (InputError, ValueError) as error:
                yield str(error)


def blocks(rows: int, max_length: int) -> list[int]:
    """Tiles that a streamed design may hold while the weights pass once: powers of two, and a whole sequence."""
    tiles = ceil(min(max_length, MAX_BLOCK_TOKENS) / rows)
    return sorted({*(2**power for power in range(tiles.bit_length())), tiles})


def _attention(network: Network, rows: int, cascades: int) -> Iterator[tuple[ArrayShape, ArrayShape]]:
    """Pairs of shapes of scores and sums, of about the same speed."""
    for keys in (16, 32):
        columns = max(d for d in divisors(network.head_size) if d <= keys)
        yield ArrayShape(max(rows, keys // rows * rows), cascades), ArrayShape(columns, cascades)


def _widest(build: Callable[..., StreamedSpec], available: Resources, lanes: int, cascades: int) -> StreamedSpec:
    """The spec of the most columns that fits, found by bisection.

    Raises:
        InputError: where not even one column fits, with what lacks.
        ValueError: as the spec.
    """

    def spec(columns: int) -> StreamedSpec:
        return build(shape=ArrayShape(columns * lanes, cascades))

    if missing := shortfall(spec(1).resources, available):
        raise InputError(f"the smallest array does not fit: {missing}")
    low, high = 1, MAX_STREAM_COLUMNS // lanes
    while low < high:
        middle = (low + high + 1) // 2
        fits = shortfall(spec(middle).resources, available) is None
        low, high = (middle, high) if fits else (low, middle - 1)
    return spec(low)
