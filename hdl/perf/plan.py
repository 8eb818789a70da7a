"""From a model and a device to a pipeline: what the command line and the simulations start from."""

from dataclasses import fields
from functools import partial
from math import ceil, inf

from ..errors import InputError
from ..model.network import Network
from ..model.spec import ModelSpec
from .budget import SHARES, scaled, shortfall
from .builtdecoder import BuiltDecoderSpec
from .channels import weight_channels
from .chooser import choose
from .decoder import DecoderSpec
from .design import SpatialDesign
from .device import Device
from .offchip import off_chip
from .spec import PipelineSpec

__all__ = ["MAX_LENGTH", "TILES", "check_tile", "plan"]

MAX_LENGTH = 512
"""The longest sequence where none is asked for, if the model has so many positions."""

FAMILY = "ultrascale+"
"""The devices whose DSPs and memories the kernels are made of."""

TILES = (2, 4, 8)
"""Tokens a tile can have."""


def plan(
    model: ModelSpec, device: Device, *, tile: int = 4, max_length: int | None = None, weight_bits: int = 8
) -> PipelineSpec:
    """The fastest pipeline of a model that a device has room for, with tiles of ``tile`` tokens: an encoder's for the
    longest sequence, a decoder's for one of which half is the prompt. ``weight_bits`` in memory: 8, or a decoder's 4.
    A decoder's keys and values lie on chip where there is room for them, and in off-chip memory where there is not.

    Raises:
        InputError: for a tile or a length that is out of range, another family of devices, and a model that does not
            fit the device.
    """
    check_tile(tile)
    if max_length is None:
        max_length = min(MAX_LENGTH, model.max_positions)
    if not 1 <= max_length <= model.max_positions:
        raise InputError(
            f"max-length must be 1 to {model.max_positions}, the positions of model {model.name!r}, not {max_length}"
        )
    if device.family != FAMILY:
        raise InputError(f"pipelines are for devices of the family {FAMILY}, not {device.family} as {device.name!r}")
    network = Network.from_spec(model)
    if weight_bits not in ((4, 8) if network.causal else (8,)):
        raise InputError(f"weight-bits must be 8, or of a decoder 4, not {weight_bits}")
    try:
        if network.causal:
            try:
                return decoder(network, device, tile, max_length, weight_bits, cache=True)
            except InputError:
                return decoder(network, device, tile, max_length, weight_bits, cache=False)
        return choose(network, max_length, device.resources, rows=tile)
    except InputError as error:
        raise InputError(f"model {model.name!r} on device {device.name!r} with tiles of {tile}: {error}") from None


def decoder(
    network: Network, device: Device, tile: int, max_length: int, weight_bits: int, *, cache: bool
) -> BuiltDecoderSpec:
    """The decoder that is built: a choice of the estimates' that leaves room for all that they do not count.
    ``cache``: keys and values lie on chip."""
    channels = weight_channels(device, causal=True, weight_bits=weight_bits)
    cost, missing = partial(halves, network, device, max_length, weight_bits), None
    for share in SHARES:
        available = scaled(device.resources, share)
        chosen = choose(
            network, max_length, available, rows=tile, channels=channels, cache=cache, cost=cost,
            packed=weight_bits == 4,
        )  # fmt: skip
        assert isinstance(chosen, DecoderSpec)
        geometry = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
        try:
            if cache:
                spec = BuiltDecoderSpec(**geometry, weight_bits=weight_bits)
            else:
                spec = off_chip(chosen, device, weight_bits)
        except ValueError as error:
            raise InputError(str(error)) from error
        missing = shortfall(spec.resources, device.resources)
        if missing is None:
            return spec
    raise InputError(f"the smallest geometry that was tried does not fit: {missing}")


def halves(network: Network, device: Device, tokens: int, weight_bits: int, spec: PipelineSpec) -> float:
    """Cycles of a prompt of half the tokens, and of the other half one by one."""
    if weight_bits == 4 and isinstance(spec, DecoderSpec):
        # How weights of 4 bits lie in memory is known of what is built only.
        geometry = {field.name: getattr(spec, field.name) for field in fields(DecoderSpec)}
        try:
            spec = BuiltDecoderSpec(**geometry | {"cache_on_chip": True}, weight_bits=weight_bits)
        except ValueError:
            return inf
    design, half = SpatialDesign(network, spec, weight_bits), ceil(tokens / 2)
    bytes_a_cycle = device.memory.sustained * design.bandwidth(device.memory) * 1e3 / device.clock_mhz
    # Where memory decides at first and attention at last, the middle would tell of neither.
    ends = [design.decode(context).cycles_at(bytes_a_cycle) for context in (half, tokens - 1)]
    return design.prefill(half).cycles_at(bytes_a_cycle) + (tokens - half) * sum(ends) / 2


def check_tile(tile: int) -> None:
    """Refuses other sizes of a tile than `TILES`.

    Raises:
        InputError: with those that there are.
    """
    if tile not in TILES:
        raise InputError(f"tile must be {', '.join(map(str, TILES[:-1]))} or {TILES[-1]} tokens, not {tile}")
