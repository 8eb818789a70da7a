"""A run becomes orders: one a layer, of these one a tile for attention, and one a product for the linear units."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...counted import Turns
from ...kernels.linear import ProductOrder
from ...perf.geometry.decoder_spec import DecoderSpec
from ...stream import StreamBuffer, buffered, connect
from .orders import AcceptedCommand, TileOrder, TilesOrder

__all__ = ["LayerOrders", "ProductOrders", "TileOrders"]


class LayerOrders(wiring.Component):
    """An order for each layer of a run. Members: ``runs``, ``orders`` (streams)."""

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        super().__init__(
            {"runs": In(stream.Signature(AcceptedCommand(spec))), "orders": Out(stream.Signature(TilesOrder(spec)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.made = made = StreamBuffer(self.orders.payload.shape())
        connect(m, made.output, self.orders)
        run, order = self.runs.payload, made.input.payload
        layer = Turns("layer", self.spec.max_layers)
        m.d.comb += [order[name].eq(run[name]) for name in ("trace", "shared", "tile", "tiles", "row")]
        m.d.comb += [
            order.layer.eq(layer.count),
            order.first.eq(layer.count == 0),
            order.last.eq(layer.last),
            made.input.valid.eq(self.runs.valid),
            self.runs.ready.eq(made.input.ready & layer.last),
        ]
        layer.step(m, self.runs.valid & made.input.ready)
        return m


class Reach(data.StructLayout):
    """How far attention reaches: a ``tile``; by the name of each of `PipelineSpec.counts`, the steps that cover the
    keys up to the end of the tile, and as ``NAME_room`` the keys that these could hold besides."""

    def __init__(self, spec: DecoderSpec):
        counts = {name: bound.bit_length() for name, bound in spec.count_bounds.items()}
        rooms = {f"{name}_room": range(step) for name, step in spec.counts.items()}
        super().__init__({"tile": range(spec.max_tiles), **counts, **rooms})


class TileOrders(wiring.Component):
    """An order for each tile of a layer. Members: ``layers``, ``orders`` (streams).

    Nothing is divided: the bounds of a tile follow from those of the tile before. Those of a run's first tile are kept,
    since every layer begins with it, and the next run goes on from there or from the start.
    """

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        super().__init__(
            {"layers": In(stream.Signature(TilesOrder(spec))), "orders": Out(stream.Signature(TileOrder(spec)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.made = made = StreamBuffer(self.orders.payload.shape())
        connect(m, made.output, self.orders)
        spec, layer, order = self.spec, self.layers.payload, made.input.payload
        shape, rows = Reach(spec), spec.rows
        rooms = {f"{name}_room": step - rows for name, step in spec.counts.items()}
        start = shape.const({"tile": 0, **dict.fromkeys(spec.counts, 1), **rooms})
        first = Signal(shape, init=start)
        present = Signal(shape)
        sought = Signal()  # `present` is a tile of this layer
        remaining = Signal.like(layer.tiles)  # tiles after it
        last = remaining == 0
        with m.If(~sought & self.layers.valid):
            with m.If(first.tile > layer.tile):
                m.d.sync += first.eq(start)
            with m.Elif(first.tile < layer.tile):
                m.d.sync += self._advanced(first, first)
            with m.Else():
                m.d.sync += [present.eq(first), remaining.eq(layer.tiles - 1), sought.eq(1)]
        with m.If(sought & made.input.ready):
            m.d.sync += [*self._advanced(present, present), remaining.eq(remaining - 1)]
            with m.If(last):
                m.d.sync += sought.eq(0)
        begins = present.tile == layer.tile
        m.d.comb += [
            made.input.valid.eq(sought),
            self.layers.ready.eq(sought & made.input.ready & last),
            order.layer.eq(layer.layer),
            order.tile.eq(present.tile),
            order.rows.eq(Mux(begins, Cat(row >= layer.row for row in range(rows)), (1 << rows) - 1)),
        ]
        for name in spec.counts:
            m.d.comb += order[name].eq(present[name])
        m.d.comb += [order.last.eq(last), order.tokens.eq((present.tile + 1) * rows)]
        return m

    def _advanced(self, target: Any, reach: Any) -> list[Any]:
        """Assigns the reach of the next tile."""
        rows = self.spec.rows
        changes = [target.tile.eq(reach.tile + 1)]
        for name, step in self.spec.counts.items():
            room = f"{name}_room"
            full = reach[room] < rows
            changes += [
                target[name].eq(reach[name] + full),
                target[room].eq(reach[room] - rows + Mux(full, step, 0)),
            ]
        return changes


class ProductOrders(wiring.Component):
    """The products of a run's layers, and the head at its end.

    A prompt's layer is one order, each linear unit's own product; a token's is one for each shared product in turn.
    Members: ``layers`` (stream), ``orders`` (stream for the linear units), ``shared`` (stream of the products, from 0,
    that all arrays work on together).
    """

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        first, *_ = spec.products
        super().__init__(
            {
                "layers": In(stream.Signature(TilesOrder(spec))),
                "orders": Out(stream.Signature(ProductOrder(spec.linear(first)))),
                "shared": Out(stream.Signature(range(len(spec.shared_products)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        layers = buffered(m, "waiting", self.layers)
        layer = layers.payload
        m.submodules.linear = linear = StreamBuffer(self.orders.payload.shape())
        m.submodules.together = together = StreamBuffer(self.shared.payload.shape())
        connect(m, linear.output, self.orders)
        connect(m, together.output, self.shared)
        order = linear.input.payload
        head = len(self.spec.shared_products) - 1
        shared = Signal(range(head + 1))  # the product that comes next; 0 where the own ones do
        own = ~layer.shared & (shared == 0)
        go = Signal()
        ends = Signal()
        m.d.comb += [
            go.eq(layers.valid & linear.input.ready & together.input.ready),
            ends.eq(Mux(layer.last, shared == head, own | (shared == head - 1))),
            order.product.eq(Mux(own, 0, shared + 1)),
            order.tiles.eq(Mux(own, layer.tiles, 1)),
            together.input.payload.eq(shared),
            linear.input.valid.eq(go),
            together.input.valid.eq(go & ~own),
            layers.ready.eq(go & ends),
        ]
        with m.If(go):
            m.d.sync += shared.eq(Mux(ends, 0, Mux(own, head, shared + 1)))
        return m
