"""The order in which layers' earlier tokens are loaded: those of the next run as soon as memory holds the current one.

What a run loads depends only on where the text ends, not on its token. So the layers of the next run are loaded while
the head still works on the current one, on the guess that the text continues. If another text begins instead, the
loaded keys lie after its end, where the softmax masks them.
"""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream import buffered
from .kvmemory import KvMemorySpec

__all__ = ["LoadOrders"]


class LoadOrders(wiring.Component):
    """Gives an order for each layer of each run, ahead of the run. The first run's orders load nothing.

    Members:
        runs: stream of `KvMemorySpec.run`.
        kept: strobe; memory holds all of a run.
        orders: stream of `KvMemorySpec.load_order`.
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
        runs = buffered(m, "waiting", self.runs)
        run, order = runs.payload, self.orders.payload
        layer = Signal.like(order.layer)
        blocks = Signal.like(order.blocks)
        following = Signal.like(order.blocks)
        # All layers of a run are ordered; the run has begun, so its end is known; memory holds all of it.
        ordered = Signal()
        begun = Signal()
        kept = Signal()
        go = Signal()
        again = Signal()
        last = layer == self.spec.layers - 1
        m.d.comb += [
            order.layer.eq(layer),
            order.blocks.eq(blocks),
            self.orders.valid.eq(~ordered),
            go.eq(self.orders.valid & self.orders.ready),
            again.eq(ordered & begun & kept),
            # An order that is offered does not change.
            runs.ready.eq(~begun & (ordered | go)),
        ]
        with m.If(go):
            m.d.sync += [layer.eq(Mux(last, 0, layer + 1)), ordered.eq(last)]
        with m.If(runs.valid & runs.ready):
            m.d.sync += [begun.eq(1), following.eq(run.blocks)]
            with m.If(run.restart):
                m.d.sync += blocks.eq(0)
        with m.If(self.kept):
            m.d.sync += kept.eq(1)
        with m.If(again):
            m.d.sync += [ordered.eq(0), begun.eq(0), kept.eq(0), blocks.eq(following)]
        return m
