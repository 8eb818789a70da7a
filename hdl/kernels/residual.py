"""Residual addition: the result of a branch plus the values that skipped it, which wait in a FIFO.

The skipped values may have more binary places than the branch, a number for each feature. These are rounded off before
the addition. The total of a pre-norm layer is its residual stream, saturated to the 16 bits of a term. The total of a
post-norm layer has one bit more, for the LayerNorm that follows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import delay
from ..fixed import round_shift, saturate, saturated
from ..memory import ReplayBuffer, ReplaySpec
from ..ram import small_style
from ..resources import Resources, ram_blocks
from ..stream import PipelineBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .parameters import Block, ChannelParameters, ChannelWord
from .unit import UnitSpec

__all__ = ["ResidualAdd", "ResidualSpec"]

TERM_SHAPE = signed(16)
TOTAL_BITS = 17
"""Bits of a total that is not saturated."""

SKIP_PLACES_BITS = 3
MAX_PLACES = (1 << SKIP_PLACES_BITS) - 1
"""The most places that can be rounded off."""

BLOCKS_AN_ULTRA = 2
"""BRAM36 that cost as much as a URAM288: the U280 has 2.1 times as many of them."""


@dataclass(frozen=True, kw_only=True)
class ResidualSpec(UnitSpec):
    """The size of a residual addition.

    Attributes:
        rows: tokens of a tile.
        lanes: features of a beat.
        features: features of a token.
        depth: beats by which the skip side may be ahead of the branch.
        output_bits: width of a total; 17 bits hold every sum, 16 bits saturate it to a term.
        ram_style: the style of the FIFO; None: the one that costs the device least.

    Raises:
        ValueError: for sizes below 1, lanes that do not divide the features, and other widths of totals.
    """

    rows: int
    lanes: int
    features: int
    depth: int
    output_bits: int = TOTAL_BITS
    ram_style: str | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "features", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"residual {name} must be at least 1, not {getattr(self, name)}")
        if self.features % self.lanes:
            raise ValueError(f"residual features must be a multiple of its {self.lanes} lanes, not {self.features}")
        if self.output_bits not in (TERM_SHAPE.width, TOTAL_BITS):
            raise ValueError(f"residual output_bits must be {TERM_SHAPE.width} or {TOTAL_BITS}, not {self.output_bits}")

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: a word for each feature."""
        return {"channels": Block(self.features, self.lanes)}

    @property
    def total_shape(self) -> Shape:
        """Shape of a total."""
        return signed(self.output_bits)

    @property
    def width(self) -> int:
        """Bits of a beat of terms."""
        return self.rows * self.lanes * TERM_SHAPE.width

    @property
    def style(self) -> str:
        """The RAM style of the FIFO."""
        if self.ram_style is not None:
            return self.ram_style
        if small_style(self.depth) == "distributed":
            return "distributed"
        blocks, ultras = (ram_blocks(self.width, self.depth, style) for style in ("block", "ultra"))
        return "block" if blocks.bram36 <= BLOCKS_AN_ULTRA * ultras.uram else "ultra"

    @property
    def fifo(self) -> ReplaySpec:
        """The FIFO of the skip side."""
        return ReplaySpec(self.width, self.depth, self.style, max_repeat=1)

    @property
    def skip_latency(self) -> int:
        """Cycles from the acceptance of a skip beat to its total, if its branch beat is there."""
        return self.fifo.latency + self.latency - 1

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a branch beat to its total: buffer, rounding, sum, buffer."""
        return 4

    def cycles(self, beats: int) -> int:
        """Cycles for ``beats`` beats."""
        return beats

    @property
    def tile_latency(self) -> int:
        return self.latency

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles(self.features // self.lanes)

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        totals = self.rows * self.lanes * self.output_bits
        # The FIFO's orders are constants, which makes its control smaller.
        rounding = Resources(lut=3 * self.width, ff=2 * self.width + totals)
        inputs = buffer_resources(self.width, 2) + buffer_resources(self.lanes * ChannelWord.size, 2)
        return self.fifo.resources + inputs + rounding + pipeline_resources(totals, self.latency)

    def reference(self, skip: np.ndarray, branch: np.ndarray, channels: ChannelParameters) -> np.ndarray:
        """Totals [tokens, features] of two tensors; the shifts of ``channels`` [features] are the places to round off.

        Raises:
            ValueError: for a shift above `MAX_PLACES`.
        """
        if channels.shift.max() > MAX_PLACES:
            raise ValueError(f"residual shift must be 0..{MAX_PLACES}, not {channels.shift.max()}")
        total = round_shift(skip, channels.shift) + np.asarray(branch, dtype=np.int64)
        return saturate(total, self.output_bits)


class ResidualAdd(wiring.Component):
    """The residual addition: one beat per cycle; `ResidualSpec.latency`.

    Members:
        skip: tile stream, rows x lanes signed 16; up to `ResidualSpec.depth` beats ahead of the branch.
        branch: tile stream, rows x lanes signed 16.
        channels: stream of `ChannelWord` x lanes, a beat for each beat of the branch; only the shifts are used, which
            are the places to round off ``skip``.
        total: tile stream, rows x lanes signed ``output_bits``.
    """

    def __init__(self, spec: ResidualSpec):
        self.spec = spec
        super().__init__(
            {
                "skip": In(self._signature(TERM_SHAPE)),
                "branch": In(self._signature(TERM_SHAPE)),
                "channels": In(stream.Signature(data.ArrayLayout(ChannelWord, spec.lanes))),
                "total": Out(self._signature(spec.total_shape)),
            }
        )

    def _signature(self, shape: Shape) -> stream.Signature:
        return stream.Signature(tile(self.spec.rows, self.spec.lanes, shape))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.fifo = fifo = ReplayBuffer(self.skip.payload.shape(), spec.fifo)
        m.submodules.buffer = buffer = PipelineBuffer(self.total.payload.shape(), spec.latency)
        connect(m, self.skip, fifo.input)
        connect(m, buffer.output, self.total)
        fifo.read_once(m)
        branches, channels = buffered(m, "branch_buffer", self.branch), buffered(m, "channels_buffer", self.channels)
        go = join(m, [fifo.output, branches, channels], buffer.room)
        m.d.comb += [
            buffer.take.eq(go),
            buffer.push.eq(delay(m, "summed", go, 2, control=True)),
        ]
        for row in range(spec.rows):
            for lane in range(spec.lanes):
                skip, branch = fifo.output.payload[row][lane], branches.payload[row][lane]
                rounded = Signal(TERM_SHAPE, name=f"rounded_{row}_{lane}", reset_less=True)
                total = Signal(spec.total_shape, name=f"total_{row}_{lane}", reset_less=True)
                # With one more place, rounding is (x + 1) >> 1.
                doubled = Cat(Const(0, 1), skip).as_signed() >> channels.payload[lane].shift[:SKIP_PLACES_BITS]
                m.d.sync += [
                    rounded.eq((doubled + 1) >> 1),
                    total.eq(saturated(rounded + delay(m, f"branch_{row}_{lane}", branch, 1), spec.output_bits)),
                ]
                m.d.comb += buffer.payload[row][lane].eq(total)
        return m
