"""Bidirectional attention: two banks, one layer in each, and a barrier between the layers.

A query sees every key of its layer, so a bank is read only when it is complete. While one layer's keys or values are
read, tile after tile, the next layer's are written into the other bank.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted
from ..delay_registers import delay
from ..resources import Resources
from .banks import BankSpec, Placement, nested, offer, running_start

__all__ = ["BarrierSpec"]

BANKS = 2
"""The layer that is read, and the next one, which is written."""


@dataclass(frozen=True, kw_only=True)
class BarrierSpec(BankSpec):
    """Two banks of whole layers; an order is a layer, and each of its tiles reads the whole bank."""

    @property
    def banks(self) -> int:
        return BANKS

    @property
    def ahead(self) -> int:
        return BANKS

    @property
    def orders_ahead(self) -> int:
        return BANKS

    @property
    def tiles_ahead(self) -> int:
        """The queries of a whole sequence wait for its last key."""
        return self.max_tiles

    @property
    def order(self) -> data.StructLayout:
        """The loop bounds of a layer: ``tiles`` of the sequence, ``passes`` of a head, ``words`` of a pass."""
        bounds = {"tiles": self.max_tiles, "passes": self.max_passes, "words": self.max_words}
        return data.StructLayout({name: unsigned(bound.bit_length()) for name, bound in bounds.items()})

    @property
    def located(self) -> data.StructLayout:
        return self.order

    def locate(self, m: Module, order: Any) -> Any:
        """The orders themselves: banks are used in turn."""
        return order

    def reader(self, *, hold: int) -> "BarrierReader":
        return BarrierReader(self, hold=hold)

    def placement(self, *, beats: int, unit_beats: int, unit_stride: int) -> "BarrierPlacement":
        return BarrierPlacement(self, beats=beats, unit_beats=unit_beats, unit_stride=unit_stride)

    @property
    def resources(self) -> Resources:
        """LUT and FF of the reader."""
        bits = self.depth.bit_length()
        return Resources(lut=12 * bits + 40, ff=5 * bits + 40)


class BarrierReader(wiring.Component):
    """The read addresses of layers, from the two banks in turn; the loops are tile, head, pass, word.

    Members:
        order: stream of `BarrierSpec.order`; it leaves with the layer's last address.
        addresses: stream.
        stored: strobe; the last beat of a bank is accepted, which is written in time for the first address.
        full: complete banks that are not yet read to the end; with 2 of them nothing more may be stored.

    The RAMs are read up to ``hold`` cycles after the addresses leave.
    """

    def __init__(self, spec: BarrierSpec, *, hold: int):
        self.spec, self.hold = spec, hold
        super().__init__(
            {
                "order": In(stream.Signature(spec.order)),
                "addresses": Out(stream.Signature(spec.address)),
                "stored": In(1),
                "full": Out(range(BANKS + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        readable = Counted("readable", BANKS, init=0)  # banks whose last address is not yet on offer
        bank = Signal(spec.address)
        word = Signal(range(spec.max_words))
        step = Signal()
        finished = Signal()
        loops = {"word": order.words, "pass": order.passes, "head": spec.heads, "tile": order.tiles}
        ends = nested(m, loops, step)
        other = Mux(bank == 0, spec.bank_stride, 0)
        start = running_start(m, spec, ends, [(finished, other, [bank]), (ends["head"], bank, [])])
        with m.If(step):
            m.d.sync += word.eq(Mux(ends["word"], 0, word + 1))
        offered, leaves = offer(m, self.addresses, self.order.valid & readable.some, start + word, ends=finished)
        m.d.comb += [step.eq(offered), finished.eq(ends["tile"]), self.order.ready.eq(finished)]
        readable.step(m, up=self.stored, down=finished)
        read = delay(m, "read", leaves["ends"], self.hold, control=True)
        m.d.sync += self.full.eq(self.full + self.stored - read)
        return m


class BarrierPlacement(Placement):
    """The placement of whole layers, tile after tile, in alternating banks."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        tile = Signal.like(self.order.payload.tiles, init=1)
        bank = Signal()
        layer_ends = tile == self.order.payload.tiles
        bank_base = Mux(bank, spec.bank_stride, 0)
        other_base = Mux(bank, 0, spec.bank_stride)
        self.count(m, Mux(layer_ends, other_base, bank_base))
        m.d.comb += [self.stored.eq(self.tile & layer_ends), self.order.ready.eq(self.stored)]
        with m.If(self.tile):
            m.d.sync += [tile.eq(Mux(layer_ends, 1, tile + 1)), bank.eq(bank ^ layer_ends)]
        return m

    def share(self, m: Module, name: str) -> tuple[Any, Any]:
        spec = self.spec
        share = Signal(range(max(spec.shares, 2)))
        start = Signal(spec.address, name=name)
        with m.If(self.stored):
            m.d.sync += [share.eq(0), start.eq(0)]
        with m.Elif(self.tile):
            m.d.sync += share.eq(Mux(share == spec.shares - 1, 0, share + 1))
            with m.If(share == spec.shares - 1):
                m.d.sync += start.eq(start + spec.share_stride)
        return share, start

    @property
    def rows(self) -> int:
        """All rows: those after the sequence's last token are masked by the softmax."""
        return (1 << self.spec.rows) - 1

    def enables(self, m: Module, shares: Signal) -> list[Any]:
        return [share for share in shares for _ in range(self.spec.rows)]
