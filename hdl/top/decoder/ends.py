"""Where the loop of a decoder's layers ends: tiles go around once more, to the head, or to who looks at all layers."""

from typing import Any

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...memory import ReplayBuffer
from ...perf.geometry.decoder_spec import DecoderSpec
from ...stream import StreamBuffer, buffered, connect, tile
from ..encoder_pipeline import count_layer
from .orders import TilesOrder

__all__ = ["Leave", "Loop"]


class Leave(wiring.Component):
    """The output of a layer.

    Members: ``order`` (stream of `TilesOrder`), ``input``; ``feedback`` (all layers' but the last's), ``final`` (the
    last tile of the last layer), ``outside`` (with ``trace`` all of it); ``left`` (strobe, a cycle after the last beat
    of a run).
    """

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        tokens = stream.Signature(tile(spec.rows, spec.lanes, signed(16)))
        super().__init__(
            {
                "order": In(stream.Signature(TilesOrder(spec))),
                "input": In(tokens),
                "feedback": Out(tokens),
                "final": Out(tokens),
                "outside": Out(tokens),
                "left": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        orders = buffered(m, "orders", self.order)
        order = orders.payload
        go = self.input.valid & self.input.ready
        ends, last_tile = count_layer(m, self.spec, order.tiles, go)
        wanted = {"feedback": ~order.last, "final": order.last & last_tile, "outside": order.trace}
        ready = []
        for name, wants in wanted.items():
            m.submodules[name] = buffer = StreamBuffer(self.input.payload.shape())
            m.d.comb += [
                buffer.input.payload.eq(self.input.payload),
                buffer.input.valid.eq(go & wants),
            ]
            ready.append(buffer.input.ready | ~wants)
            connect(m, buffer.output, getattr(self, name))
        m.d.comb += [
            self.input.ready.eq(orders.valid & Cat(ready).all()),
            orders.ready.eq(ends),
        ]
        m.d.sync += self.left.eq(ends & order.last)
        return m


class Loop(wiring.Component):
    """The tiles on their way back: a FIFO for a whole prompt.

    A layer's last tile enters the pipeline before the next layer's first, so all that left must find room meanwhile.
    Members: ``input``, ``output``.
    """

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        tokens = stream.Signature(tile(spec.rows, spec.lanes, signed(16)))
        super().__init__({"input": In(tokens), "output": Out(tokens)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.words = fifo = ReplayBuffer(self.input.payload.shape(), self.spec.loop)
        connect(m, self.input, fifo.input)
        connect(m, fifo.output, self.output)
        fifo.read_once(m)
        return m
