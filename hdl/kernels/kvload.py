"""Loads earlier tokens' keys or values from memory into the RAMs of the array that reads them, layers ahead."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request
from ..stream import StreamBuffer, connect
from .banks import nested
from .fetch import ADDRESS_BITS, Fetch
from .kvblocks import BLOCK, Block
from .kvcache import scaled
from .kvmemory import KvMemorySpec

__all__ = ["Load", "Places"]


class Load(wiring.Component):
    """A layer's earlier tokens, a beat a cycle from each channel.

    A layer is loaded when the one has been read to the end whose bank it takes: banks are taken in turn.

    Members: ``order`` (stream of `KvMemorySpec.load_order`, one a layer, leaves when all is loaded);
    ``requests[c]`` and ``data[c]`` (each channel's, as of `Fetch`); ``blocks[c]`` (streams of `Block`, to the unit);
    ``loaded`` (strobe: the layer's last block has been taken), ``released`` (strobe: a layer has been read to the end).
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.load_order)),
                "requests": Out(stream.Signature(Request)).array(spec.channels),
                "data": In(stream.Signature(unsigned(CHANNEL_BITS))).array(spec.channels),
                "blocks": Out(stream.Signature(Block(spec.unit))).array(spec.channels),
                "loaded": Out(1),
                "released": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        # The order waits at the input while its products are summed up, and until it is carried out.
        banks = spec.banks.banks
        waited, busy, held = Signal(range(spec.order_cycles + 1)), Signal(), Signal(range(banks + 1))
        begins = Signal()
        m.d.comb += begins.eq(self.order.valid & (waited == spec.order_cycles) & ~busy & (held != banks))
        m.d.sync += held.eq(held + begins - self.released)
        with m.If(self.loaded):
            m.d.sync += [busy.eq(0), waited.eq(0)]
        with m.Elif(begins):
            m.d.sync += busy.eq(1)
        with m.Elif(self.order.valid & (waited != spec.order_cycles)):
            m.d.sync += waited.eq(waited + 1)
        start = scaled(m, "start", order.layer, spec.layer_beats, ADDRESS_BITS)
        left = Cat(self._channel(m, channel, start, begins) for channel in range(spec.channels))
        m.d.comb += [self.loaded.eq(busy & ~left.any()), self.order.ready.eq(self.loaded)]
        return m

    def _channel(self, m: Module, channel: int, start: Any, begins: Signal) -> Signal:
        """Fetches a channel's segment and places its beats; whether there are some left."""
        spec, order = self.spec, self.order.payload
        m.submodules[f"fetch_{channel}"] = fetch = Fetch(spec.fetch)
        m.submodules[f"places_{channel}"] = places = Places(spec)
        connect(m, fetch.requests, self.requests[channel])
        connect(m, self.data[channel], fetch.response)
        connect(m, fetch.data, places.beats)
        connect(m, places.blocks, self.blocks[channel])
        segment = fetch.order.payload
        own = Signal.like(order.blocks, name=f"own_{channel}")
        share = (spec.channels if spec.keys else 1).bit_length() - 1
        m.d.comb += own.eq((order.blocks + (spec.channels - 1 - channel if spec.keys else 0))[share:])
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


class Places(wiring.Component):
    """Where in the RAMs a channel's beats belong.

    Members: ``restart`` (strobe: a layer begins, in the next bank), ``beats`` (stream of 512 bits), ``blocks`` (stream
    of `Block`, a cycle later).
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "restart": In(1),
                "beats": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "blocks": Out(stream.Signature(Block(spec.unit))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        banks, unit = self.spec.banks, self.spec.unit
        m.submodules.buffer = buffer = StreamBuffer(Block(unit))
        connect(m, buffer.output, self.blocks)
        go = self.beats.valid & buffer.input.ready
        m.d.comb += [buffer.input.valid.eq(self.beats.valid), self.beats.ready.eq(buffer.input.ready)]
        block = buffer.input.payload
        tokens, features = ("group", "pass"), ("cascade", "word")
        if not self.spec.keys:
            tokens, features = features, tokens
        bounds = {
            "group": unit.columns // BLOCK // unit.channels,
            "pass": banks.max_passes,
            "cascade": unit.cascades,
            "word": banks.max_words,
            "head": banks.heads,
        }
        order = (*features, "head", *tokens)
        counts = {name: Signal(range(max(bounds[name], 2)), name=f"{name}_count") for name in order}
        ends = nested(m, {name: (counts[name], bounds[name]) for name in order}, go)
        # The addresses at which the head and the pass begin.
        starts = []
        for name, stride in (("head", banks.head_stride), ("pass", banks.pass_stride)):
            begin = Signal(banks.address, name=f"{name}_start")
            step = ends[order[order.index(name) - 1]]
            with m.If(step):
                m.d.sync += begin.eq(Mux(ends[name], 0, begin + stride))
            starts.append(begin)
        base = Signal(banks.address, init=(banks.banks - 1) * banks.bank_stride)  # before the first
        with m.If(self.restart):
            m.d.sync += [register.eq(0) for register in (*counts.values(), *starts)]
            m.d.sync += base.eq(banks.next_bank(base))
        m.d.comb += [
            block.address.eq(base + starts[0] + starts[1] + counts["word"]),
            block.group.eq(counts["group"]),
            block.cascade.eq(counts["cascade"]),
            block.beat.eq(self.beats.payload),
        ]
        return m
