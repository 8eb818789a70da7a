"""Residual addition: a branch plus what went past it, which waits in a FIFO meanwhile.

What went past may carry places that the branch does not have, so many a feature: they are rounded off before the
addition. A decoder's total is its residual stream, saturated to the 16 bits of a term; an encoder's has a bit more, for
the LayerNorm that follows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..fixed import round_shift, saturate, saturated
from ..memory import ReplayBuffer, ReplaySpec, small_style
from ..pipeline import delay
from ..resources import Resources, ram_blocks
from ..stream import PipelineBuffer, connect, join, pipeline_resources, tile
from .parameters import ChannelParameters, ChannelWord

__all__ = ["ResidualAdd", "ResidualSpec"]

TERM_SHAPE = signed(16)
TOTAL_BITS = 17
"""Bits of a total that is not saturated."""

SKIP_PLACES_BITS = 3
MAX_PLACES = (1 << SKIP_PLACES_BITS) - 1
"""The most places that are rounded off."""

BLOCKS_AN_ULTRA = 2
"""BRAM36 that are worth a URAM288: the U280 has 2.1 for each."""


@dataclass(frozen=True, kw_only=True)
class ResidualSpec:
    """A residual addition of ``rows`` x ``lanes`` features a beat, whose skip side can run ``depth`` beats ahead.

    Totals are saturated to ``output_bits``: 17 hold every sum, 16 make it a term again.

    The FIFO is made of ``ram_style``: by default of what costs the device least.

    Beats of 64 bits, as of 4 rows x 1 lane, fill the words of a URAM288; ones of 32 bits would leave half of them
    empty.

    Raises:
        ValueError: for sizes below 1, and other widths of totals.
    """

    rows: int
    lanes: int
    depth: int
    output_bits: int = TOTAL_BITS
    ram_style: str | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"residual {name} must be at least 1, not {getattr(self, name)}")
        if self.output_bits not in (TERM_SHAPE.width, TOTAL_BITS):
            raise ValueError(f"residual output_bits must be {TERM_SHAPE.width} or {TOTAL_BITS}, not {self.output_bits}")

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
        """The kind of RAM of the FIFO."""
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
        """Cycles from the acceptance of a skip beat to its total, its branch beat there."""
        return self.fifo.latency + self.latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a branch beat to its total: rounding, sum, buffer."""
        return 3

    def cycles(self, beats: int) -> int:
        """Cycles that so many beats take."""
        return beats

    @property
    def resources(self) -> Resources:
        """RAM, LUT and FF."""
        totals = self.rows * self.lanes * self.output_bits
        # The FIFO's orders are constants, which leaves less of its control.
        rounding = Resources(lut=3 * self.width, ff=2 * self.width + totals)
        return self.fifo.resources + rounding + pipeline_resources(totals, self.latency + 1)

    def reference(self, skip: np.ndarray, branch: np.ndarray, channels: ChannelParameters) -> np.ndarray:
        """Totals [tokens, features] of two tensors; the shifts of ``channels`` [features] are skip's additional places.

        Raises:
            ValueError: for a shift that the hardware does not have.
        """
        if channels.shift.max() > MAX_PLACES:
            raise ValueError(f"residual shift must be 0..{MAX_PLACES}, not {channels.shift.max()}")
        total = round_shift(skip, channels.shift) + np.asarray(branch, dtype=np.int64)
        return saturate(total, self.output_bits)


class ResidualAdd(wiring.Component):
    """A beat a cycle, `ResidualSpec.latency` cycles; takes `ResidualSpec.depth` beats of ``skip`` ahead of ``branch``.

    Members: ``skip``, ``branch`` (tile streams, rows x lanes signed 16), ``channels`` (beats of lanes `ChannelWord`, of
    which only the shift counts: places to round off skip), ``total`` (tile stream, rows x lanes signed
    ``output_bits``).
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
        m.submodules.fifo = fifo = ReplayBuffer(self.skip.payload.shape(), spec.depth, style=spec.style, max_repeat=1)
        m.submodules.buffer = buffer = PipelineBuffer(self.total.payload.shape(), spec.latency + 1)
        connect(m, self.skip, fifo.input)
        connect(m, buffer.output, self.total)
        fifo.read_once(m)
        go = join(m, [fifo.output, self.branch, self.channels], buffer.room)
        m.d.comb += [
            buffer.take.eq(go),
            buffer.push.eq(delay(m, "summed", go, 2, control=True)),
        ]
        for row in range(spec.rows):
            for lane in range(spec.lanes):
                skip, branch = fifo.output.payload[row][lane], self.branch.payload[row][lane]
                rounded = Signal(TERM_SHAPE, name=f"rounded_{row}_{lane}", reset_less=True)
                total = Signal(spec.total_shape, name=f"total_{row}_{lane}", reset_less=True)
                # One place more, so that rounding is (x + 1) >> 1.
                doubled = Cat(Const(0, 1), skip).as_signed() >> self.channels.payload[lane].shift[:SKIP_PLACES_BITS]
                m.d.sync += [
                    rounded.eq((doubled + 1) >> 1),
                    total.eq(saturated(rounded + delay(m, f"branch_{row}_{lane}", branch, 1), spec.output_bits)),
                ]
                m.d.comb += buffer.payload[row][lane].eq(total)
        return m
