"""From a model, a device and a workload to the pipeline that is built: what `emit` writes and simulations run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from ...errors import InputError
from ...model.network import Network
from ...model.weightbits import W8, WeightBits
from ...resources import Resources
from ..designs.budget import SHARES, remaining, shortfall
from ..designs.constraints import REGIONS, first_that_fits
from ..designs.cost import work_cycles
from ..designs.spatial_design import SpatialDesign
from ..device import Device
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.decoder_spec import DecoderSpec
from ..geometry.pipeline_spec import PipelineSpec
from ..geometry.weight_channels import weight_channels
from ..workload import Workload
from .best_geometry import choose_geometry
from .block_rams import with_room
from .buildable import BUILT_TILES, not_built
from .off_chip import CACHE_BANKS, CACHE_CHANNELS, off_chip
from .one_pace import TOLERANCE

__all__ = ["FAMILY", "built_design", "plan", "pluggable"]

FAMILY = "ultrascale+"
"""The devices whose DSPs and memories the kernels are made of."""

TRIES = 5
"""Geometries that are tried, each with more room for what only the whole decoder has."""

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
    """The pipeline of `built_design` for sequences of up to ``max_length`` tokens, where nothing more is known of them:
    see `Workload.up_to`.

    Raises:
        InputError: as both.
    """
    workload = Workload.up_to(network, max_length, tile=tile, weight_bits=weight_bits)
    return built_design(network, device, workload, share).spec


def built_design(network: Network, device: Device, workload: Workload, share: float = 1.0) -> SpatialDesign:
    """The fastest design that `emit` makes of a network, for a workload on a device at the workload's clock, which
    meets all constraints but those of the floorplan.

    If the workload names no tile, an encoder's has 4 tokens, and a decoder's is the best of 4 and 2: with 2, keys and
    values of a long text are read faster. A decoder's keys and values lie on chip if they fit. If they do not, they lie
    on chip with block RAM for some units (`DecoderSpec.block_rams`), or in off-chip memory, whichever is faster.

    ``share`` of the device's resources that the design is planned for: a smaller pipeline takes more cycles, and is
    built and simulated sooner.

    Raises:
        InputError: for a network, a workload or a device that nothing is built for, a share that is out of range, and
            a model that does not fit the device.
    """
    if why := not_built(network):
        raise InputError(why)
    if network.causal and workload.sequences > 1:
        raise InputError(f"a decoder works on one sequence at a time, not {workload.sequences}")
    if device.family != FAMILY:
        raise InputError(f"pipelines are for devices of the family {FAMILY}, not {device.family} as {device.name!r}")
    board = workload.clocked(device)
    # The floorplan is a model of where units may lie, which place and route need not follow: it is shown only.
    return first_that_fits(
        _best_first(network, board, workload, share), board, tokens=workload.length, sequences=1, only_shown=REGIONS
    )


def _best_first(network: Network, board: Device, workload: Workload, share: float) -> Iterator[SpatialDesign]:
    """The best design for a share of a device, then the best ones for less of it.

    Raises:
        InputError: where there is none, as `built_design`.
    """
    tried = False
    for part in (board.with_share(share * planned) for planned in SHARES):
        try:
            spec = _best(network, part, workload)
        except ValueError as error:  # what a kernel's spec refuses, too
            if tried:
                return
            tiles = " or ".join(map(str, _tiles(network, workload)))
            place = f"device {board.name!r}" if share == 1 else f"{share:g} of device {board.name!r}"
            raise InputError(f"model {network.name!r} on {place} with tiles of {tiles}: {error}") from None
        tried = True
        yield SpatialDesign(network, spec, workload.weight_bits.bits)


def pluggable(network: Network, device: Device) -> bool:
    """Whether pipelines of a network can be built for a device: its family, and a memory port for each linear unit and
    for the parameters."""
    return device.family == FAMILY and device.memory.ports > len(network.operators)


def _tiles(network: Network, workload: Workload) -> tuple[int, ...]:
    return (workload.tile,) if workload.tile else BUILT_TILES


def _best(network: Network, part: Device, workload: Workload) -> PipelineSpec:
    """The best pipeline for the resources of a part of a device.

    Raises:
        ValueError: where none fits.
    """
    tiles = _tiles(network, workload)
    if network.causal:
        return _DecoderPlan(network, part, workload).best(tiles)
    for rows in tiles:
        try:
            return choose_geometry(network, workload.length, part.resources, rows=rows)
        except ValueError:
            if rows == tiles[-1]:
                raise
    raise ValueError("no tile")


@dataclass(frozen=True)
class _DecoderPlan:
    """The choice of a decoder of ``network`` for ``workload`` with the resources of ``device``."""

    network: Network
    device: Device
    workload: Workload

    @property
    def bits(self) -> WeightBits:
        """Bits of the weights."""
        return self.workload.weight_bits

    def best(self, tiles: Sequence[int]) -> DecoderSpec:
        """The decoder that is built, of the best size of tile: with keys and values on chip where they fit; else,
        whichever is best, on chip with block RAM for other units, or with some of the weights' channels for them.

        Raises:
            InputError: where none fits, with what the first lacks.
        """
        found: dict[DecoderSpec, float] = {}
        refusals: list[str] = []

        def add(rows: int, channels: int, lent: float) -> float:
            """The cost of what is built with tiles of so many rows; infinite where nothing is."""
            try:
                spec = self.built(rows, channels, lent)
            except ValueError as error:
                refusals.append(str(error))
                return inf
            found[spec] = self.cost()(spec)
            return found[spec]

        for rows in tiles:
            plain = add(rows, 0, 0.0)
            if plain == inf or plain > CRAMPED * self.roomy(rows):
                for lent in LENT:
                    add(rows, 0, lent)
                for channels in CACHE_CHANNELS:
                    add(rows, channels, 0.0)
        if not found:
            raise InputError(refusals[0])
        best = min(found.values())
        return next(spec for spec, cycles in found.items() if cycles <= TOLERANCE * best)

    def roomy(self, rows: int) -> float:
        """What the best geometry with keys and values on chip would cost if URAM were never short."""
        available = remaining(self.device.resources, Resources(uram=-(1 << 20)))
        return self.cost()(self.chosen(available, rows, 0))

    def weight_channels(self, cache_channels: int) -> int:
        """Channels for the weights beside so many for keys and as many for values."""
        return min(
            weight_channels(self.device, causal=True, weight_bits=self.bits.bits),
            weight_channels(self.device, causal=True) - 2 * cache_channels,
        )

    def chosen(self, available: Resources, rows: int, cache_channels: int) -> DecoderLayerSpec:
        """The geometry of the least cost, with tiles of so many rows and so many channels for keys, and for values."""
        spec = choose_geometry(
            self.network, self.workload.length, available, rows=rows, channels=self.weight_channels(cache_channels),
            cache_channels=cache_channels, cost=self.cost(CACHE_BANKS[-1]), packed=self.bits.packed,
        )  # fmt: skip
        assert isinstance(spec, DecoderLayerSpec)
        return spec

    def built(self, rows: int, cache_channels: int, lent: float) -> DecoderSpec:
        """A chosen geometry that leaves room for what only the whole decoder has. ``cache_channels`` for keys, and as
        many for values; 0: these lie on chip. ``lent``: a share of the URAM that the choice may take beyond what is
        planned, for block RAM to stand in.

        Raises:
            InputError: where none fits.
        """
        channels, least = self.weight_channels(cache_channels), len(self.network.operators)
        if channels < least:
            raise InputError(f"weights must have {least} memory channels at least, not {channels}")
        resources = self.device.resources
        missing, kept = None, Resources(uram=-round(lent * resources.uram))
        for _ in range(TRIES):
            base = self.chosen(remaining(resources, kept), rows, cache_channels)
            choices = [with_room(one, resources) for one in self.completed(base)]
            fitting = [one for one in choices if shortfall(one.resources, resources) is None]
            if fitting:
                return min(fitting, key=self.cost())
            spec = choices[0]
            missing = shortfall(spec.resources, resources)
            more = [whole - part for whole, part in zip(spec.resources, base.resources, strict=True)]
            kept = Resources(**{name: max(*pair) for name, *pair in zip(vars(kept), kept, more, strict=True)})  # type: ignore[arg-type]
        raise InputError(f"the smallest geometry that was tried does not fit: {missing}")

    def completed(self, base: DecoderLayerSpec) -> Iterator[DecoderSpec]:
        """The whole decoders of a geometry, which differ in their banks of keys and values."""
        spec = self.whole(base)
        spec = replace(spec, padding=spec.max_length - self.workload.length)
        for banks in CACHE_BANKS if base.cache_channels else CACHE_BANKS[:1]:
            yield replace(spec, cache_banks=banks)

    def whole(self, base: DecoderLayerSpec) -> DecoderSpec:
        """The whole decoder of a geometry.

        Raises:
            ValueError: for arrays that cannot have weights of 4 bits, or keys and values off chip.
        """
        if base.cache_channels:
            return off_chip(base, base.cache_channels, self.bits)
        return DecoderSpec.of(base, weight_bits=self.bits)

    def cost(self, banks: int = CACHE_BANKS[0]) -> Callable[[PipelineSpec], float]:
        """Cycles of the workload by geometry, with so many banks where the geometry does not say; infinite where its
        arrays cannot have weights of 4 bits. Only of the whole decoder is it known how these lie in memory."""

        def cycles(spec: PipelineSpec) -> float:
            if self.bits.packed and not isinstance(spec, DecoderSpec):
                assert isinstance(spec, DecoderLayerSpec)
                try:
                    spec = replace(self.whole(spec), cache_banks=banks)
                except ValueError:
                    return inf
            return work_cycles(SpatialDesign(self.network, spec, banks=banks), self.device, self.workload)

        return cycles
