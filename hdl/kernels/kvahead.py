"""Which layer's earlier tokens are loaded next: those of the run to come, as soon as memory holds the run before it.

What a run loads does not depend on its token, only on where the text ends. So the layers of the next run are loaded
while the head still works on the last one, on the guess that the text goes on. Where another begins instead, what has
been loaded of the old one lies behind the new one's end, where the softmax masks it.
"""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .kvmemory import KvMemorySpec

__all__ = ["LoadOrders"]


class LoadOrders(wiring.Component):
    """An order for each layer of each run, ahead of the run.

    Members: ``runs`` (stream of `KvMemorySpec.run`), ``kept`` (strobe: memory holds all of a run), ``orders`` (stream
    of `KvMemorySpec.load_order`). The first run's orders, of no blocks, come before it.
    """

    def __init__(self, spec: KvMemorySpec):
        self.spec = spec
        super().__init__(
            {
                "runs": In(stream.Signature(spec.run)),
                "kept": In(1),
                "orders": Out(stream.Signature(spec.load_order)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        run, order = self.runs.payload, self.orders.payload
        layer, blocks, following = Signal.like(order.layer), Signal.like(order.blocks), Signal.like(order.blocks)
        # All layers are ordered; their run has begun, so that its end is known; memory holds it.
        ordered, begun, kept = Signal(), Signal(), Signal()
        go, again = Signal(), Signal()
        last = layer == self.spec.layers - 1
        m.d.comb += [
            order.layer.eq(layer),
            order.blocks.eq(blocks),
            self.orders.valid.eq(~ordered),
            go.eq(self.orders.valid & self.orders.ready),
            again.eq(ordered & begun & kept),
            # An order that is under way does not change.
            self.runs.ready.eq(~begun & (ordered | go)),
        ]
        with m.If(go):
            m.d.sync += [layer.eq(Mux(last, 0, layer + 1)), ordered.eq(last)]
        with m.If(self.runs.valid & self.runs.ready):
            m.d.sync += [begun.eq(1), following.eq(run.blocks)]
            with m.If(run.restart):
                m.d.sync += blocks.eq(0)
        with m.If(self.kept):
            m.d.sync += kept.eq(1)
        with m.If(again):
            m.d.sync += [ordered.eq(0), begun.eq(0), kept.eq(0), blocks.eq(following)]
        return m
