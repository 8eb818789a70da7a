"""Control: a run's length and number of layers become one order a layer for every unit."""

from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..perf.geometry.pipeline_spec import PipelineSpec
from ..serial import Divider
from ..stream import StreamBuffer, buffered, connect

__all__ = ["Control", "LayerOrder", "RunOrder", "order_readers"]


class RunOrder(data.StructLayout):
    """A sequence to run: ``tokens`` (1..max_length), ``layers`` (1..max_layers), and whether every layer's output
    leaves (``trace``)."""

    def __init__(self, spec: PipelineSpec):
        bits = {"tokens": spec.max_length.bit_length(), "layers": spec.max_layers.bit_length(), "trace": 1}
        super().__init__({name: unsigned(width) for name, width in bits.items()})


class LayerOrder(data.StructLayout):
    """A layer of a run: whether it is the first or the last, and what the units count (`PipelineSpec.counts`)."""

    def __init__(self, spec: PipelineSpec):
        flags = dict.fromkeys(("first", "last", "trace"), unsigned(1))
        bounds = {"tokens": spec.max_length, "tiles": spec.max_tiles, **spec.count_bounds}
        super().__init__(flags | {name: unsigned(bound.bit_length()) for name, bound in bounds.items()})


def order_readers(spec: PipelineSpec) -> list[str]:
    """What takes an order for each layer: arrays and other units that count tiles or tokens, both ends, parameters."""
    others = (name for name, unit in spec.tile_units.items() if unit.order_fields and name not in spec.arrays)
    return [*spec.arrays, *others, "entry", "exit", "parameters"]


class Control(wiring.Component):
    """Turns a `RunOrder` into ``layers`` orders, after a division for each bound."""

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        super().__init__(
            {"run": In(stream.Signature(RunOrder(spec))), "orders": Out(stream.Signature(LayerOrder(spec)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, given = self.spec, buffered(m, "given", self.run)
        m.submodules.made = made = StreamBuffer(self.orders.payload.shape())
        run, order = given.payload, made.input.payload
        connect(m, made.output, self.orders)
        multiples = {"tiles": spec.rows, **spec.counts}
        dividers = {}
        started = Signal()
        divided = Signal()  # all divisions of the run are done
        done = Signal()
        for name, multiple in multiples.items():
            numerator_bits = (spec.max_length + multiple - 1).bit_length()
            bits = max(ceil(spec.max_length / multiple).bit_length(), numerator_bits - multiple.bit_length() + 1)
            m.submodules[f"divide_{name}"] = divider = Divider(numerator_bits, multiple.bit_length(), bits)
            m.d.comb += [
                divider.input.valid.eq(given.valid & ~started),
                divider.input.payload.numerator.eq(run.tokens + (multiple - 1)),
                divider.input.payload.denominator.eq(multiple),
                divider.output.ready.eq(done),
                order[name].eq(divider.output.payload),
            ]
            dividers[name] = divider
        m.d.sync += divided.eq(Cat(divider.output.valid for divider in dividers.values()).all() & ~done)
        layer = Signal.like(run.layers, init=1)
        last = layer == run.layers
        makes = divided & made.input.ready
        m.d.comb += [
            made.input.valid.eq(divided),
            order.first.eq(layer == 1),
            order.last.eq(last),
            order.trace.eq(run.trace),
            order.tokens.eq(run.tokens),
            done.eq(makes & last),
            given.ready.eq(done),
        ]
        with m.If(given.valid):
            m.d.sync += started.eq(~done)
        with m.If(makes):
            m.d.sync += layer.eq(Mux(last, 1, layer + 1))
        return m
