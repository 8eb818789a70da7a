"""The spatial pipeline: one encoder layer in hardware, its output fed back so that layer l+1 starts as its first
tokens leave l. The units of a layer follow from its graph (`graph`). For BERT:

tokens -> rows -> QKV -> scores -> softmax -> sums -> rows -> projection -> (+) -> norm -> rows -> FFN1 -> activation
   ^             K, V into banks                                                    -> rows -> FFN2 -> (+) -> norm -+
   +----------------------------------------------------------------------------------------------------------------+
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..counted import Turns
from ..delay_registers import KEEP
from ..kernels.linear import Linear as LinearUnit
from ..model.architecture import Linear
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..stream import Fork, StreamBuffer, buffered, connect, pieces, tile
from .control import Control, LayerOrder, RunOrder, order_readers
from .graph import GraphComposition
from .parameter_dealer import ParameterDealer

__all__ = ["Entry", "Pipeline", "count_layer"]


class Entry(wiring.Component):
    """The tokens of a layer: from outside for a run's first, from the end of the pipeline for the others.

    ``order``: the layout of its orders, of which it reads ``first`` and ``tiles`` (default: an encoder's).
    """

    def __init__(self, spec: PipelineSpec, order: data.StructLayout | None = None):
        self.spec = spec
        tokens = stream.Signature(tile(spec.rows, spec.lanes, signed(16)))
        super().__init__(
            {
                "order": In(stream.Signature(order or LayerOrder(spec))),
                "outside": In(tokens),
                "feedback": In(tokens),
                "output": Out(tokens),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        orders = buffered(m, "orders", self.order)
        m.submodules.buffer = buffer = StreamBuffer(self.output.payload.shape())
        outside, feedback = self.outside, self.feedback
        # The present order. Each register ``first`` chooses a piece of the tokens.
        active = Signal()
        order = Signal(orders.payload.shape())
        tokens = Value.cast(self.output.payload)
        cuts = pieces(len(tokens))
        firsts = [Signal(name=f"first{number}", attrs=KEEP) for number, _ in enumerate(cuts)]
        ends, _ = count_layer(m, self.spec, order.tiles, buffer.input.valid & buffer.input.ready)
        with m.If(ends | ~active):
            m.d.sync += [active.eq(orders.valid), order.eq(orders.payload)]
            m.d.sync += [first.eq(orders.payload.first) for first in firsts]
        given = [Value.cast(source.payload) for source in (outside, feedback)]
        chosen = [Mux(first, *(source[cut] for source in given)) for first, cut in zip(firsts, cuts, strict=True)]
        m.d.comb += [
            orders.ready.eq(ends | ~active),
            Value.cast(buffer.input.payload).eq(Cat(chosen)),
            buffer.input.valid.eq(active & Mux(order.first, outside.valid, feedback.valid)),
            outside.ready.eq(active & order.first & buffer.input.ready),
            feedback.ready.eq(active & ~order.first & buffer.input.ready),
        ]
        connect(m, buffer.output, self.output)
        return m


class Exit(wiring.Component):
    """Where a layer's output goes: back to the entry, but the last layer's (with ``trace`` every layer's) to the
    outside."""

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        tokens = stream.Signature(tile(spec.rows, spec.lanes, signed(16)))
        super().__init__(
            {
                "order": In(stream.Signature(LayerOrder(spec))),
                "input": In(tokens),
                "outside": Out(tokens),
                "feedback": Out(tokens),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        orders = buffered(m, "orders", self.order)
        order = orders.payload
        m.submodules.outside = outside = StreamBuffer(self.outside.payload.shape())
        m.submodules.feedback = feedback = StreamBuffer(self.feedback.payload.shape())
        leaves, returns = order.last | order.trace, ~order.last
        go = Signal()
        ends, _ = count_layer(m, self.spec, order.tiles, go)
        m.d.comb += [
            self.input.ready.eq(orders.valid & (outside.input.ready | ~leaves) & (feedback.input.ready | ~returns)),
            go.eq(self.input.valid & self.input.ready),
            outside.input.valid.eq(go & leaves),
            feedback.input.valid.eq(go & returns),
            outside.input.payload.eq(self.input.payload),
            feedback.input.payload.eq(self.input.payload),
            orders.ready.eq(ends),
        ]
        connect(m, outside.output, self.outside)
        connect(m, feedback.output, self.feedback)
        return m


def count_layer(m: Module, spec: PipelineSpec, tiles: Value, beat_moves: Any) -> tuple[Signal, Value]:
    """High in the cycle in which the last beat of the last of ``tiles`` moves, and during all of that tile."""
    beat = Turns("beat", spec.tile_beats)
    tile_index = Signal(tiles.shape(), init=1)
    ends = Signal()
    tile_ends = Signal()
    last_tile = tile_index == tiles
    beat.step(m, beat_moves)
    m.d.comb += [tile_ends.eq(beat_moves & beat.last), ends.eq(tile_ends & last_tile)]
    with m.If(tile_ends):
        m.d.sync += tile_index.eq(Mux(ends, 1, tile_index + 1))
    return ends, last_tile


class Pipeline(wiring.Component):
    """The whole accelerator but its memory: parameters and weights arrive on streams, tokens go in and out.

    Members: ``run`` (stream of `RunOrder`), ``tokens`` (tile stream of int16, the embedded tokens of a run),
    ``outputs`` (tile stream of int16, the last layer's, or with ``trace`` every layer's), ``parameters`` (512-bit
    beats, `PipelineSpec.parameters` a layer), ``weights_UNIT[i]`` (512-bit beats, `LinearSpec.pack` a layer). Rows
    beyond a sequence's last token carry garbage.
    """

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        tokens = stream.Signature(tile(spec.rows, spec.lanes, signed(16)))
        channel = stream.Signature(unsigned(CHANNEL_BITS))
        weights = {f"weights_{name}": In(channel).array(spec.linear(name).channels) for name in spec.products}
        super().__init__(
            {
                "run": In(stream.Signature(RunOrder(spec))),
                "tokens": In(tokens),
                "outputs": Out(tokens),
                "parameters": In(channel),
                **weights,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        return EncoderComposition(self, platform).m


class EncoderComposition(GraphComposition):
    """Builds the module of a pipeline: each linear unit computes its own product, attention has a barrier."""

    def __init__(self, pipeline: Pipeline, platform: Any):
        super().__init__(platform, pipeline.spec)
        self.pipeline = pipeline
        m, spec = self.m, self.spec
        layer = spec.sections["layer"]
        control = self.add("control", Control(spec))
        readers = order_readers(spec)
        orders = self.add("orders", Fork(LayerOrder(spec), len(readers)))
        self.orders = dict(zip(readers, orders.outputs, strict=True))
        parameters = self.add("parameters", ParameterDealer(layer.parameters, spec.max_tiles))
        self.parameters = [parameters]
        connect(m, pipeline.run, control.run)
        connect(m, control.orders, orders.input)
        connect(m, pipeline.parameters, parameters.channel)
        self.order("parameters", parameters.order, "tiles")

        entry, leave = self.add("entry", Entry(spec)), self.add("exit", Exit(spec))
        connect(m, self.orders["entry"], entry.order)
        connect(m, self.orders["exit"], leave.order)
        connect(m, pipeline.tokens, entry.outside)
        connect(m, leave.feedback, entry.feedback)
        connect(m, leave.outside, pipeline.outputs)
        connect(m, self.walk(layer.graph, layer.units, entry.output), leave.input)

    def multiply(self, product: Linear, rows: Any) -> Any:
        """The sums of a product's own unit."""
        m, name = self.m, product.name
        unit = self.add(name, LinearUnit(self.spec.linear(name)))
        connect(m, rows, unit.activations)
        self.order(name, unit.order, *unit.spec.order_fields)
        for i, channel in enumerate(getattr(self.pipeline, f"weights_{name}")):
            connect(m, channel, unit.weights[i])
        return unit.sums
