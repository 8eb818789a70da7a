"""From a model and a device to a pipeline: what the command line and the simulations start from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import ceil, inf

from ..errors import InputError
from ..model.network import Network
from ..model.weightbits import W8, WeightBits
from ..resources import Resources
from .budget import beside, shortfall
from .builtdecoder import BuiltDecoderSpec
from .channels import weight_channels
from .chooser import choose
from .decoder import DecoderSpec
from .design import SpatialDesign
from .device import Device
from .geometry import TOLERANCE
from .offchip import CACHE_BANKS, CACHE_CHANNELS, off_chip
from .rams import with_room
from .spec import LINEAR_UNITS, PipelineSpec

__all__ = ["MAX_LENGTH", "TILES", "check_tile", "plan"]

MAX_LENGTH = 512
"""The longest sequence where none is asked for, if the model has so many positions."""

FAMILY = "ultrascale+"
"""The devices whose DSPs and memories the kernels are made of."""

TRIES = 5
"""Geometries that are tried, each with more room for what only the whole decoder has."""

TILES = (2, 4, 8)
"""Tokens a tile can have."""

DECODER_TILES = (4, 2)
"""Those that a decoder is tried with; where both are about as good, the first, which is faster with prompts."""

CRAMPED = 1.1
"""So many times the cycles that a design would take if URAM were never short are reason to look for another way."""

LENT = (0.1, 0.2)
"""Shares of a device's URAM that block RAM stands in for (`rams.py`), where keys and values fit on chip only so."""


def plan(
    network: Network,
    device: Device,
    *,
    tile: int | None = None,
    max_length: int | None = None,
    weight_bits: WeightBits = W8,
    share: float = 1.0,
) -> PipelineSpec:
    """The fastest pipeline of a model that a device has room for: an encoder's for the longest sequence, a decoder's
    for one of which half is the prompt. ``weight_bits`` in memory: only a decoder's may be 4. ``tile`` tokens worked
    on at once: by default an encoder's 4, and a decoder's best of 4 and 2, which reads keys and values of a long text
    faster. A decoder's keys and values lie on chip where there is room for them; where there is not, on chip with block
    RAM for some units (`BuiltDecoderSpec.block_rams`), or in off-chip memory, whichever is faster.

    ``share`` of the device's resources that the pipeline is planned for: a smaller pipeline takes more cycles, and is
    built and simulated sooner.

    Raises:
        InputError: for a share, a tile or a length that is out of range, another family of devices, and a model that
            does not fit the device.
    """
    if tile is not None:
        check_tile(tile)
    if max_length is None:
        max_length = min(MAX_LENGTH, network.max_positions)
    if not 1 <= max_length <= network.max_positions:
        raise InputError(
            f"max-length must be 1 to {network.max_positions}, the positions of model {network.name!r}, "
            f"not {max_length}"
        )
    if device.family != FAMILY:
        raise InputError(f"pipelines are for devices of the family {FAMILY}, not {device.family} as {device.name!r}")
    if not network.causal:
        weight_bits.check_encoder()
    part = device.with_share(share)
    tiles = (tile,) if tile else DECODER_TILES if network.causal else DECODER_TILES[:1]
    try:
        if network.causal:
            return decoder(network, part, tiles, max_length, weight_bits)
        return choose(network, max_length, part.resources, rows=tiles[0])
    except ValueError as error:  # what a kernel's spec refuses, too
        sizes = " or ".join(map(str, tiles))
        place = f"device {device.name!r}" if share == 1 else f"{share:g} of device {device.name!r}"
        raise InputError(f"model {network.name!r} on {place} with tiles of {sizes}: {error}") from None


def decoder(
    network: Network, device: Device, tiles: Sequence[int], max_length: int, weight_bits: WeightBits
) -> BuiltDecoderSpec:
    """The decoder that is built, of the best size of tile: with keys and values on chip where they fit; else, whichever
    is best, on chip with block RAM for other units, or with some of the weights' channels for them."""
    cost, why = partial(halves, network, device, max_length, weight_bits), ""
    found: dict[BuiltDecoderSpec, float] = {}

    def add(rows: int, channels: int, lent: float) -> float:
        """The cost of what is built with tiles of so many rows; infinite where nothing is."""
        nonlocal why
        try:
            spec = built(network, device, rows, max_length, weight_bits, channels, lent)
        except ValueError as error:
            why = why or str(error)
            return inf
        found[spec] = cost(channels, spec.cache_banks, spec)
        return found[spec]

    for rows in tiles:
        plain = add(rows, 0, 0.0)
        if plain == inf or plain > CRAMPED * roomy(network, device, rows, max_length, weight_bits):
            for lent in LENT:
                add(rows, 0, lent)
            for channels in CACHE_CHANNELS:
                add(rows, channels, 0.0)
    if not found:
        raise InputError(why)
    best = min(found.values())
    return next(spec for spec, cycles in found.items() if cycles <= TOLERANCE * best)


def roomy(network: Network, device: Device, tile: int, max_length: int, weight_bits: WeightBits) -> float:
    """What the best geometry with keys and values on chip would cost if URAM were never short."""
    available = beside(device.resources, Resources(uram=-(1 << 20)))
    cost = partial(halves, network, device, max_length, weight_bits, 0, CACHE_BANKS[0])
    return cost(chosen(network, available, tile, max_length, weight_bits, weights(device, weight_bits, 0), True, cost))


def weights(device: Device, weight_bits: WeightBits, cache_channels: int) -> int:
    """Channels for the weights beside so many for keys and as many for values."""
    return min(
        weight_channels(device, causal=True, weight_bits=min(weight_bits)),
        weight_channels(device, causal=True) - 2 * cache_channels,
    )


def chosen(
    network: Network, available: Resources, tile: int, max_length: int, weight_bits: WeightBits, channels: int,
    cache: bool, cost: Callable[[PipelineSpec], float],
) -> DecoderSpec:  # fmt: skip
    """The geometry of the least cost, with so many channels of weights; ``cache``: keys and values lie on chip."""
    spec = choose(
        network, max_length, available, rows=tile, channels=channels, cache=cache, cost=cost, packed=weight_bits.packed
    )
    assert isinstance(spec, DecoderSpec)
    return spec


def built(
    network: Network,
    device: Device,
    tile: int,
    max_length: int,
    weight_bits: WeightBits,
    cache_channels: int,
    lent: float,
) -> BuiltDecoderSpec:
    """A choice of the estimates' that leaves room for what they do not count. ``cache_channels`` for keys, and as
    many for values; 0: these lie on chip. ``lent``: a share of the URAM that the choice may take beyond what is
    planned, for block RAM to stand in."""
    channels = weights(device, weight_bits, cache_channels)
    if channels < len(LINEAR_UNITS):
        raise InputError(f"weights must have {len(LINEAR_UNITS)} memory channels at least, not {channels}")
    cost = partial(halves, network, device, max_length, weight_bits, cache_channels)
    banks = CACHE_BANKS if cache_channels else CACHE_BANKS[:1]
    missing, kept = None, Resources(uram=-round(lent * device.resources.uram))
    for _ in range(TRIES):
        available = beside(device.resources, kept)
        best = partial(cost, banks[-1])
        base = chosen(network, available, tile, max_length, weight_bits, channels, not cache_channels, best)
        if cache_channels:
            spec = off_chip(base, cache_channels, weight_bits)
        else:
            spec = BuiltDecoderSpec.of(base, weight_bits=weight_bits)
        spec = replace(spec, padding=spec.max_length - max_length)
        choices = [with_room(replace(spec, cache_banks=one), device.resources) for one in banks]
        fitting = [one for one in choices if shortfall(one.resources, device.resources) is None]
        if fitting:
            return min(fitting, key=lambda one: cost(one.cache_banks, one))
        spec = choices[0]
        missing = shortfall(spec.resources, device.resources)
        more = [whole - part for whole, part in zip(spec.resources, base.resources, strict=True)]
        kept = Resources(**{name: max(*pair) for name, *pair in zip(vars(kept), kept, more, strict=True)})  # type: ignore[arg-type]
    raise InputError(f"the smallest geometry that was tried does not fit: {missing}")


def halves(
    network: Network, device: Device, tokens: int, weight_bits: WeightBits, cache_channels: int, banks: int,
    spec: PipelineSpec,
) -> float:  # fmt: skip
    """Cycles of a prompt of half the tokens, and of the other half one by one; keys and values come by channels of
    their own, so many each, where these are not 0, into so many ``banks``."""
    if weight_bits.packed:
        # How packed weights lie in memory is known of what is built only; some arrays cannot have them.
        assert isinstance(spec, DecoderSpec)
        try:
            packed = BuiltDecoderSpec.of(spec, weight_bits=weight_bits, cache_on_chip=True)
        except ValueError:
            return inf
        design = SpatialDesign(network, packed)
    else:
        design = SpatialDesign(network, spec)
    half, memory = ceil(tokens / 2), device.memory
    bytes_a_cycle = device.sustained(design.bandwidth(memory))

    def token(context: int) -> float:
        phase = design.decode(context)
        if not cache_channels:
            return phase.cycles_at(bytes_a_cycle)
        assert isinstance(spec, DecoderSpec)
        assert isinstance(design.spec, DecoderSpec)
        read, own = spec.cache.bytes_read(context), design.spec.cache.bytes_read(context)
        loads = read / device.sustained(memory.rate(2 * cache_channels))
        # The next token's come while the head works on this one, as far as they have banks.
        loads += max(0, design.head_bytes / bytes_a_cycle - banks * loads / network.layers)
        return max(loads, replace(phase, beside=own).cycles_at(bytes_a_cycle))

    # Where memory decides at first and attention at last, the middle would tell of neither.
    return design.prefill(half).cycles_at(bytes_a_cycle) + (tokens - half) * (token(half) + token(tokens - 1)) / 2


def check_tile(tile: int) -> None:
    """Refuses other sizes of a tile than `TILES`.

    Raises:
        InputError: with those that there are.
    """
    if tile not in TILES:
        raise InputError(f"tile must be {', '.join(map(str, TILES[:-1]))} or {TILES[-1]} tokens, not {tile}")
