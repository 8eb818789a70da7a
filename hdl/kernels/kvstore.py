"""Stores the keys or values of new tokens in memory, while they are written into the RAMs of the array too."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import Request, Written
from ..stream import Pack, StreamBuffer, connect, tile
from .fetch import ADDRESS_BITS
from .kvblocks import BLOCK
from .kvcache import scaled
from .kvmemory import KvMemorySpec

__all__ = ["Store"]

UNANSWERED = 255
"""The most writes of a channel that memory has not answered."""


class Store(wiring.Component):
    """Writes the rows of tiles: each beat has 8 features of a tile, strobes for the rows, and a request of its own.

    With 4 rows, tile 5 is the second half of token block 2. A beat repeats its rows in both halves of the block, and
    the strobes of the second half are set for the rows that are written.

    Members:
        order: stream of `KvMemorySpec.store_order`, one for each tile.
        tiles: tile stream of int8, head after head.
        writes[c], written[c]: streams of requests and beats to channel c.
        acknowledged[c]: stream of the memory's answers, one for each request.
        kept: strobe; memory holds all of a run.
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        unit = spec.unit
        super().__init__(
            {
                "order": In(stream.Signature(spec.store_order)),
                "tiles": In(stream.Signature(tile(unit.rows, unit.lanes_stored, signed(8)))),
                "writes": Out(stream.Signature(Request)).array(spec.channels),
                "written": Out(stream.Signature(Written)).array(spec.channels),
                "acknowledged": In(stream.Signature(1)).array(spec.channels),
                "kept": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, unit, order = self.spec, self.spec.unit, self.order.payload
        ratio, share = BLOCK // unit.lanes_stored, spec.channels.bit_length() - 1
        m.submodules.pack = pack = Pack(unit.rows, unit.lanes_stored, ratio, signed(8), beats=ratio)
        connect(m, self.tiles, pack.input)
        # The order waits at the input while its products are added up, and until its tile is stored.
        waited = Signal(range(spec.order_cycles + 1))
        chunk = Signal(range(max(spec.chunks, 2)))
        located = waited == spec.order_cycles
        go = Signal()
        last = chunk == spec.chunks - 1
        place_bits = (BLOCK // unit.rows).bit_length() - 1  # low bits of a tile's number: its place in its block
        block = Signal(range(max(spec.blocks, 2)))
        m.d.comb += [block.eq(order.tile[place_bits:]), self.order.ready.eq(go & last)]
        with m.If(go):
            m.d.sync += chunk.eq(Mux(last, 0, chunk + 1))
            with m.If(last):
                m.d.sync += waited.eq(0)
        with m.Elif(self.order.valid & ~located):
            m.d.sync += waited.eq(waited + 1)
        # Token blocks of keys, or feature blocks of values, are dealt to the channels in turn (`KvMemorySpec.place`).
        dealt = block if spec.keys else chunk
        layer = scaled(m, "layer", order.layer, spec.layer_beats, ADDRESS_BITS)
        start = scaled(m, "start", block[share if spec.keys else 0 :], spec.block_beats, ADDRESS_BITS)
        address = layer + start + chunk[0 if spec.keys else share :]
        beat = self._beat(pack.output.payload.as_value(), order.tile[:place_bits])
        moves, answered = [], []
        for channel in range(spec.channels):
            chosen = pack.output.valid & self.order.valid & located & (dealt[:share] == channel)
            goes, idle = self._channel(m, channel, chosen, address, beat)
            moves.append(goes)
            answered.append(idle)
        m.d.comb += [go.eq(Cat(moves).any()), pack.output.ready.eq(go)]
        stored = Signal()  # the run's last tile of its last layer
        m.d.comb += self.kept.eq(stored & Cat(answered).all())
        with m.If(go & last & order.last & (order.layer == spec.layers - 1)):
            m.d.sync += stored.eq(1)
        with m.Elif(self.kept):
            m.d.sync += stored.eq(0)
        return m

    def _beat(self, features: Value, place: Value) -> Value:
        """A beat with the features of a tile, and strobes for the written rows at the tile's ``place`` in its block."""
        unit = self.spec.unit
        rows = self.order.payload.rows
        strobes = [rows[token % unit.rows] & (place == token // unit.rows) for token in range(BLOCK)]
        return Cat(features.replicate(BLOCK // unit.rows), Cat(strobe.replicate(BLOCK) for strobe in strobes))

    def _channel(self, m: Module, channel: int, chosen: Any, address: Any, beat: Any) -> tuple[Signal, Signal]:
        """Writes a channel's beats; returns whether one is written now, and whether all have been answered."""
        m.submodules[f"requests_{channel}"] = requests = StreamBuffer(Request)
        m.submodules[f"beats_{channel}"] = beats = StreamBuffer(Written)
        connect(m, requests.output, self.writes[channel])
        connect(m, beats.output, self.written[channel])
        unanswered = Signal(range(UNANSWERED + 1), name=f"unanswered_{channel}")
        goes, idle = Signal(name=f"goes_{channel}"), Signal(name=f"idle_{channel}")
        answer = self.acknowledged[channel]
        m.d.comb += [
            goes.eq(chosen & requests.input.ready & beats.input.ready & (unanswered != UNANSWERED)),
            requests.input.valid.eq(goes),
            requests.input.payload.address.eq(address),
            requests.input.payload.beats.eq(1),
            beats.input.valid.eq(goes),
            beats.input.payload.as_value().eq(beat),
            answer.ready.eq(1),
            idle.eq(unanswered == 0),
        ]
        m.d.sync += unanswered.eq(unanswered + goes - answer.valid)
        return goes, idle
