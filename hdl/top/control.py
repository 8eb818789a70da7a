"""Control: a run's length and number of layers become one order a layer for every unit; the parameters find theirs."""

from math import ceil
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..memory import ReplayBuffer
from ..perf.parameters import PARAMETER_WORDS_A_BEAT
from ..perf.spec import PipelineSpec
from ..serial import Divider
from ..stream import Fork, Pack, Unpack, connect, tile

__all__ = ["Control", "LayerOrder", "Parameters", "RunOrder"]


class RunOrder(data.StructLayout):
    """A sequence to run: ``tokens`` (1..max_length), ``layers`` (1..max_layers), and whether every layer's output
    leaves (``trace``)."""

    def __init__(self, spec: PipelineSpec):
        bits = {"tokens": spec.max_length.bit_length(), "layers": spec.max_layers.bit_length(), "trace": 1}
        super().__init__({name: unsigned(width) for name, width in bits.items()})


class LayerOrder(data.StructLayout):
    """A layer's loop bounds: its place in the run, the tokens, the tiles, passes over the keys, words of values."""

    def __init__(self, spec: PipelineSpec):
        bits = {
            "first": 1,
            "last": 1,
            "trace": 1,
            "tokens": spec.max_length.bit_length(),
            "tiles": spec.max_tiles.bit_length(),
            "key_passes": spec.scores_unit.banks.max_passes.bit_length(),
            "value_words": spec.sums_unit.banks.max_words.bit_length(),
        }
        super().__init__({name: unsigned(width) for name, width in bits.items()})


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
        multiples = {"tiles": spec.rows, "key_passes": spec.scores.columns, "value_words": 8 * spec.sums.cascades}
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


class Parameters(wiring.Component):
    """Deals the parameter channel out to the kernels, in the order of `PipelineSpec.parameters`.

    Each block but a table has a replay buffer of two layers and is read once a tile; so the one channel never waits
    for a unit that is a layer behind the others. Members: ``order`` (stream of a layer's tiles), ``channel`` (512-bit
    beats), and a stream for each block, by its name.
    """

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        word = unsigned(64)
        outputs = {
            block.name: Out(stream.Signature(word if block.table else data.ArrayLayout(word, block.lanes)))
            for block in spec.parameters
        }
        super().__init__(
            {
                "order": In(stream.Signature(unsigned(spec.max_tiles.bit_length()))),
                "channel": In(stream.Signature(unsigned(CHANNEL_BITS))),
                **outputs,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        blocks = self.spec.parameters
        words = sum(block.words for block in blocks)
        m.submodules.unpack = unpack = Unpack(1, 1, PARAMETER_WORDS_A_BEAT, unsigned(64), beats=words)
        m.submodules.orders = orders = Fork(self.order.payload.shape(), len(blocks))
        connect(m, self.order, orders.input)
        m.d.comb += [
            unpack.input.valid.eq(self.channel.valid),
            unpack.input.payload.eq(self.channel.payload),
            self.channel.ready.eq(unpack.input.ready),
        ]
        current, index = Signal(range(len(blocks))), Signal(range(max(block.words for block in blocks)))
        sinks = [self._block(m, block, order) for block, order in zip(blocks, orders.outputs, strict=True)]
        m.d.comb += [sink.payload.eq(unpack.output.payload) for sink in sinks]
        with m.Switch(current):
            for i, (block, sink) in enumerate(zip(blocks, sinks, strict=True)):
                with m.Case(i):
                    m.d.comb += [sink.valid.eq(unpack.output.valid), unpack.output.ready.eq(sink.ready)]
                    with m.If(unpack.output.valid & sink.ready):
                        m.d.sync += index.eq(index + 1)
                        with m.If(index == block.words - 1):
                            m.d.sync += [index.eq(0), current.eq((i + 1) % len(blocks))]
        return m

    def _block(self, m: Module, block: Any, order: Any) -> Any:
        """The buffer of a block; returns the stream of words into it."""
        output = getattr(self, block.name)
        if block.table:
            m.d.comb += order.ready.eq(1)  # the kernel keeps the table itself
            return output
        words = block.replay(self.spec.max_tiles)
        m.submodules[f"pack_{block.name}"] = pack = Pack(1, 1, block.lanes, unsigned(64), beats=block.words)
        shape = tile(1, block.lanes, unsigned(64))
        m.submodules[f"replay_{block.name}"] = replay = ReplayBuffer(
            shape, words.depth, style=words.style, max_repeat=words.max_repeat
        )
        connect(m, pack.output, replay.input)
        m.d.comb += [
            replay.order.valid.eq(order.valid),
            replay.order.payload.length.eq(block.words // block.lanes),
            replay.order.payload.repeat.eq(order.payload),
            order.ready.eq(replay.order.ready),
            output.valid.eq(replay.output.valid),
            output.payload.as_value().eq(replay.output.payload.as_value()),
            replay.output.ready.eq(output.ready),
        ]
        return pack.input
