"""Designs of work that nothing is built for yet: spatial ones where a layer lies on chip, and streamed ones. They are
estimated only."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import ceil

from ...errors import InputError
from ...model.network import Network
from ...resources import Resources
from ..designs.budget import SHARES, scaled, shortfall
from ..designs.constraints import check_memory, first_that_fits
from ..designs.cost import cycles_of, work_cycles
from ..designs.design import Design
from ..designs.spatial_design import SpatialDesign
from ..designs.streamed_design import StreamedDesign
from ..device import Device
from ..geometry.arrays import ArrayShape
from ..geometry.pipeline_spec import PipelineSpec
from ..geometry.streamed_spec import StreamedSpec
from ..geometry.weight_channels import copy_channels, weight_channels
from ..workload import TILES, Workload
from .best_geometry import choose_geometry
from .off_chip import cache_choices
from .one_pace import divisors

__all__ = ["MAX_STREAM_COLUMNS", "blocks", "candidates", "estimated_design", "not_spatial"]

STREAM_CASCADES = (2, 4, 8)
STREAM_LANES = (4, 8, 16)
MAX_STREAM_COLUMNS = 192
MAX_BLOCK_TOKENS = 512
"""Tokens whose activations are held while weights pass once."""


def estimated_design(network: Network, device: Device, workload: Workload) -> Design:
    """The fastest of the `candidates` that meets all constraints of a device, whether or not `emit` makes it.

    Raises:
        InputError: where none fits, with the constraint that refuses it.
    """
    if workload.weight_bits.int8:
        raise InputError(f"int8 must be left out for model {network.name!r}: only designs that emit makes mix weights")
    check_memory(
        network, device, tokens=workload.length, sequences=workload.held, weight_bits=workload.weight_bits.bits
    )
    board = workload.clocked(device)
    return first_that_fits(
        _fastest_first(network, board, workload), board, tokens=workload.length, sequences=workload.held
    )


def _fastest_first(network: Network, board: Device, workload: Workload) -> Iterator[Design]:
    """The `candidates`, the fastest first; then those that leave more room.

    Raises:
        InputError: where there is none.
    """
    tried = False
    for share in SHARES:
        try:
            designs = candidates(network, board, workload, share=share)
        except InputError:
            if tried:
                return
            raise
        # A cache on chip has room for one sequence.
        designs = [design for design in designs if workload.held == 1 or not network.causal or design.cache_bytes]
        if not designs and not tried:  # and with less room there is none either
            raise InputError(
                f"model {network.name!r} on device {board.name!r}: no design holds {workload.held} sequences at once"
            )
        tried = True
        yield from sorted(designs, key=lambda one: work_cycles(one, board, workload))


def candidates(network: Network, device: Device, workload: Workload, *, share: float = 1.0) -> list[Design]:
    """Designs of ``network`` that fit ``device``, for a workload.

    Args:
        share: of the resources that are planned to be used, for designs that leave more room.

    Raises:
        InputError: where none fits, with what each kind of design lacks.
    """
    available = scaled(device.resources, share)
    kinds: dict[str, Iterator[Design | str]] = {"spatial": _spatial(network, available, device, workload)}
    if network.causal:
        kinds["streamed"] = _streamed(network, available, device.memory.ports, workload)
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


def _spatial(network: Network, available: Resources, device: Device, workload: Workload) -> Iterator[Design | str]:
    """The best pipeline for each tile, and for keys and values on chip and off it, through ports of their own; or why
    there is none."""
    if why := not_spatial(network):
        yield why
        return
    bits = workload.weight_bits.bits
    channels = weight_channels(device, causal=network.causal, weight_bits=bits)

    def cost(spec: PipelineSpec) -> float:
        return work_cycles(SpatialDesign(network, spec, bits), device, workload)

    for rows in (workload.tile,) if workload.tile else TILES:
        for ports in (0, *cache_choices(network.head_size)) if network.causal else (0,):
            own = int(copy_channels(channels, device, 1, 2 * ports))
            try:
                spec = choose_geometry(
                    network, workload.length, available, rows=rows, channels=own, cache_channels=ports, cost=cost
                )
            except (InputError, ValueError) as error:
                yield str(error)
                continue
            yield (found := SpatialDesign(network, spec, bits))
            if ports and not _waits(found, device, workload.length - 1):
                break


def _waits(design: Design, device: Device, context: int) -> bool:
    """Whether a token after so many others would be faster with more ports for keys and values."""
    phase = design.decode(context)
    return cycles_of(phase, design, device) > phase.cycles_at(device.sustained(design.bandwidth(device.memory)))


def not_spatial(network: Network) -> str | None:
    """Why a network has no spatial design at all; None where it may. A pipeline's heads share the hidden features;
    those of a streamed design, and of a share of the heads, need not."""
    if network.heads * network.head_size == network.hidden:
        return None
    return f"heads must share the {network.hidden} hidden features, not have {network.head_size} each"


def _streamed(network: Network, available: Resources, channels: int, workload: Workload) -> Iterator[Design | str]:
    """For each shape of tile and column, and each block, as many columns as fit; or what even the smallest array
    lacks."""
    tiles, length = (workload.tile,) if workload.tile else TILES, workload.length
    for rows, cascades, lanes in product(tiles, STREAM_CASCADES, STREAM_LANES):
        for (scores, sums), block in product(_attention(network, rows, max(1, lanes // 8)), blocks(rows, length)):
            build = partial(
                StreamedSpec, network=network, rows=rows, block=block, lanes=lanes, scores=scores, sums=sums,
                max_length=length, channels=channels,
            )  # fmt: skip
            try:
                spec = _widest(build, available, lanes, cascades)
                yield StreamedDesign(network, spec, workload.weight_bits.bits)
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
