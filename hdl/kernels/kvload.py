"""Loads the keys or values of earlier tokens from memory into the RAMs of the array that reads them, layers ahead."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request
from ..counted import Turns
from ..stream import StreamBuffer, connect
from .fetch import ADDRESS_BITS, Fetch
from .kvblocks import KvBlock
from .kvcache import scaled
from .kvmemory import KvMemorySpec

__all__ = ["Load", "Places"]


class Load(wiring.Component):
    """Brings the earlier tokens of one layer after the other, one beat per cycle from each channel.

    A layer is loaded when the layer before it in its bank has been read to the end; layers take the banks in turn.

    Members:
        order: stream of `KvMemorySpec.load_order`, one for each layer; it leaves when the layer is loaded.
        requests[c], data[c]: those of channel c, as of `Fetch`.
        blocks[c]: streams of `KvBlock`, to the unit.
        loaded: strobe; the unit has taken the layer's last block.
        released: strobe; a layer has been read to the end.
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.load_order)),
                "requests": Out(stream.Signature(Request)).array(spec.channels),
                "data": In(stream.Signature(unsigned(CHANNEL_BITS))).array(spec.channels),
                "blocks": Out(stream.Signature(KvBlock(spec.unit.blocks))).array(spec.channels),
                "loaded": Out(1),
                "released": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        banks = spec.banks.banks
        # `held` counts the banks that are loaded, or being loaded, and not yet read to the end.
        waited = Signal(range(spec.order_cycles + 1))
        busy = Signal()
        held = Signal(range(banks + 1))
        begins = Signal()
        m.d.comb += begins.eq(self.order.valid & (waited == spec.order_cycles) & ~busy & (held != banks))
        m.d.sync += held.eq(held + begins - self.released)
        # The order waits at the input while its products are added up, and until the layer is loaded.
        with m.If(self.loaded):
            m.d.sync += [busy.eq(0), waited.eq(0)]
        with m.Elif(begins):
            m.d.sync += busy.eq(1)
        with m.Elif(self.order.valid & (waited != spec.order_cycles)):
            m.d.sync += waited.eq(waited + 1)
        start = scaled(m, "start", order.layer, spec.layer_beats, ADDRESS_BITS)
        remain = Cat(self._channel(m, channel, start, begins) for channel in range(spec.channels))
        m.d.comb += [self.loaded.eq(busy & ~remain.any()), self.order.ready.eq(self.loaded)]
        return m

    def _channel(self, m: Module, channel: int, start: Any, begins: Signal) -> Signal:
        """Fetches a channel's segment of the layer and places its beats; returns whether some remain."""
        spec = self.spec
        m.submodules[f"fetch_{channel}"] = fetch = Fetch(spec.fetch)
        m.submodules[f"places_{channel}"] = places = Places(spec)
        connect(m, fetch.requests, self.requests[channel])
        connect(m, self.data[channel], fetch.response)
        connect(m, fetch.data, places.beats)
        connect(m, places.blocks, self.blocks[channel])
        segment = fetch.order.payload
        own = self._own_blocks(m, channel)
        beats = scaled(m, f"beats_{channel}", own, spec.block_beats, len(segment.beats))
        left, asks = Signal.like(segment.beats, name=f"left_{channel}"), Signal(name=f"asks_{channel}")
        m.d.comb += [
            fetch.order.valid.eq(asks),
            segment.address.eq(start),
            segment.beats.eq(beats),
            places.restart.eq(begins),
        ]
        taken = places.blocks.valid & places.blocks.ready
        with m.If(begins):
            m.d.sync += [left.eq(beats), asks.eq(beats != 0)]
        with m.Else():
            m.d.sync += [left.eq(left - taken), asks.eq(asks & ~fetch.order.ready)]
        remains = Signal(name=f"remains_{channel}")
        m.d.comb += remains.eq(left != 0)
        return remains

    def _own_blocks(self, m: Module, channel: int) -> Signal:
        """The hardware of `KvMemorySpec.own_blocks`: blocks of tokens that a channel has of those of the order."""
        spec, blocks = self.spec, self.order.payload.blocks
        own = Signal.like(blocks, name=f"own_{channel}")
        # Keys: ceil((blocks - channel) / channels), where the channels are a power of two. Values: all blocks.
        dealt, turn = (spec.channels, channel) if spec.keys else (1, 0)
        m.d.comb += own.eq((blocks + (dealt - 1 - turn))[dealt.bit_length() - 1 :])
        return own


class Places(wiring.Component):
    """The places in the RAMs of a channel's beats, which come in the order of `KvMemorySpec`.

    A beat is a block of 8 tokens x 8 features. Five nested loops (`_loops`) count its place. For keys with 2 heads of
    32 features, 2 cascades (words of 16 features), and 16 columns of this channel (2 groups), the beats of the first 16
    tokens go to:

        beat            0   1   2   3   4   5   6   7 |  8   9  10 ...
        cascade         0   1   0   1   0   1   0   1 |  0   1   0
        word            0   0   1   1   0   0   1   1 |  0   0   1
        head            0   0   0   0   1   1   1   1 |  0   0   0
        group           0   0   0   0   0   0   0   0 |  1   1   1
        pass            0   0   0   0   0   0   0   0 |  0   0   0

    Members: ``restart`` (strobe: a layer begins, in the next bank), ``beats`` (stream of 512 bits), ``blocks`` (stream
    of `KvBlock`, one cycle later).
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "restart": In(1),
                "beats": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "blocks": Out(stream.Signature(KvBlock(spec.unit.blocks))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        banks, blocks = self.spec.banks, self.spec.unit.blocks
        m.submodules.buffer = buffer = StreamBuffer(KvBlock(blocks))
        connect(m, buffer.output, self.blocks)
        go = self.beats.valid & buffer.input.ready
        m.d.comb += [buffer.input.valid.eq(self.beats.valid), self.beats.ready.eq(buffer.input.ready)]
        turns = {name: Turns(f"{name}_count", bound) for name, bound in self._loops().items()}
        ends: dict[str, Signal] = {}
        step: Value = go
        for name, loop in turns.items():
            loop.step(m, step)
            ends[name] = Signal(name=f"{name}_ends")
            m.d.comb += ends[name].eq(step & loop.last)
            step = ends[name]
        head_start = self._start(m, "head", banks.head_stride, ends)
        pass_start = self._start(m, "pass", banks.pass_stride, ends)
        # The first layer goes to bank 0, which follows the last one.
        base = Signal(banks.address, init=(banks.banks - 1) * banks.bank_stride)
        with m.If(self.restart):
            for loop in turns.values():
                loop.restart(m)
            m.d.sync += [head_start.eq(0), pass_start.eq(0), base.eq(banks.next_bank(base))]
        block = buffer.input.payload
        m.d.comb += [
            block.address.eq(base + head_start + pass_start + turns["word"].count),
            block.group.eq(turns["group"].count),
            block.cascade.eq(turns["cascade"].count),
            block.beat.eq(self.beats.payload),
        ]
        return m

    def _loops(self) -> dict[str, int]:
        """The loops over a channel's beats of a layer and their bounds, innermost first.

        In memory the blocks of features follow each other within a block of tokens. Features and tokens are each found
        by two loops. A column's word holds features for keys, tokens for values, so that word and cascade count these;
        pass and group of columns count the others.
        """
        banks, unit = self.spec.banks, self.spec.unit
        in_a_column = {"cascade": unit.cascades, "word": banks.max_words}
        across_columns = {"group": unit.blocks.channel_groups, "pass": banks.max_passes}
        features, tokens = (in_a_column, across_columns) if self.spec.keys else (across_columns, in_a_column)
        return features | {"head": banks.heads} | tokens

    def _start(self, m: Module, name: str, stride: int, ends: dict[str, Signal]) -> Signal:
        """``stride`` times the count of the loop ``name``, found by additions."""
        start = Signal(self.spec.banks.address, name=f"{name}_start")
        order = list(ends)
        moves = ends[order[order.index(name) - 1]]  # a loop moves on when the one inside it ends
        with m.If(moves):
            m.d.sync += start.eq(Mux(ends[name], 0, start + stride))
        return start
