"""Control: a run's length and number of layers become one order a layer for every unit."""

from math import ceil
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..perf.geometry.pipeline_spec import PipelineSpec
from ..serial import Divider

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
    """Turns a `RunOrder` into ``layers`` orders, after a division for each bound that is no power of two."""

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        super().__init__(
            {"run": In(stream.Signature(RunOrder(spec))), "orders": Out(stream.Signature(LayerOrder(spec)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, run, order = self.spec, self.run.payload, self.orders.payload
        multiples = {"tiles": spec.rows, **spec.counts}
        dividers = {}
        started = Signal()
        for name, multiple in multiples.items():
            numerator_bits = (spec.max_length + multiple - 1).bit_length()
            bits = max(ceil(spec.max_length / multiple).bit_length(), numerator_bits - multiple.bit_length() + 1)
            m.submodules[f"divide_{name}"] = divider = Divider(numerator_bits, multiple.bit_length(), bits)
            m.d.comb += [
                divider.input.valid.eq(self.run.valid & ~started),
                divider.input.payload.numerator.eq(run.tokens + (multiple - 1)),
                divider.input.payload.denominator.eq(multiple),
                order[name].eq(divider.output.payload),
            ]
            dividers[name] = divider
        layer = Signal.like(run.layers)
        last = layer == run.layers - 1
        ready = Const(1)
        for divider in dividers.values():
            ready = ready & divider.output.valid
        done = self.orders.valid & self.orders.ready & last
        m.d.comb += [
            self.orders.valid.eq(started & ready),
            order.first.eq(layer == 0),
            order.last.eq(last),
            order.trace.eq(run.trace),
            order.tokens.eq(run.tokens),
            self.run.ready.eq(done),
        ]
        m.d.comb += [divider.output.ready.eq(done) for divider in dividers.values()]
        with m.If(self.run.valid):
            m.d.sync += started.eq(~done)
        with m.If(self.orders.valid & self.orders.ready):
            m.d.sync += layer.eq(Mux(last, 0, layer + 1))
        return m
