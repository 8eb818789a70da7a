"""The texts of an encoder's request: they are read from memory, and their outputs are written to it.

The request has the texts one after the other. A text is a beat whose bytes 0..3 are the number of its tokens, and then
its tiles: the embedded tokens as int16, in the order of the pipeline's stream, as many of its beats as fit into a beat
of memory; a tile begins with a beat of memory. The answer has the tiles of the outputs alike, without the first beat:
of the last layer, or with `Flags.TRACE` of every layer, one layer after the other.
"""

from math import ceil
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...card.report import REPORT_BEATS
from ...card.session import Code
from ...channel import CHANNEL_BITS, Request, Written
from ...counted import Counted, Turns
from ...kernels.fetch import Fetch, FetchSpec
from ...perf.geometry.decoder_layer_spec import MEMORY_LATENCY
from ...stream import Pack, StreamBuffer, Unpack, buffered, connect
from ..control import RunOrder
from .kernel_spec import KernelSpec

__all__ = ["LayerReader", "TextReader", "TextWriter"]


def token_stream(spec: KernelSpec) -> stream.Signature:
    """Beats of tokens of the pipeline, as bits."""
    return stream.Signature(unsigned(spec.token_bits))


def both_steps(spec: KernelSpec, kind: type[Pack] | type[Unpack]) -> tuple[Any, Any]:
    """Packs beats of tokens into beats of memory, or unpacks them, in two steps, so that a select drives few loads.

    Returns the step between single beats and pairs (if a beat of memory has an even number of beats of tokens), and the
    step between pairs and the beat of memory.
    """
    inner = 2 if spec.beat_tokens % 2 == 0 else 1
    shape, beats = unsigned(spec.token_bits), spec.pipeline.tile_beats
    single = kind(1, 1, inner, shape, beats=beats)
    return single, kind(1, inner, spec.beat_tokens // inner, shape, beats=ceil(beats / inner))


class TextReader(wiring.Component):
    """Reads the texts, checks their lengths, and starts a run for each.

    Members:
        start: strobe; ``texts``, ``layers`` and ``trace`` are steady until ``ended``, a strobe with the `Code`.
        order, beats: streams of the request's reader.
        runs: stream of `RunOrder`. ``tokens``: stream of the pipeline's beats of tokens.
        written: all outputs of the runs that were started are in memory.
    """

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        super().__init__(
            {
                "start": In(1),
                "texts": In(32),
                "layers": In(32),
                "trace": In(1),
                "ended": Out(1),
                "code": Out(8),
                "order": Out(stream.Signature(spec.request.order)),
                "beats": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "runs": Out(stream.Signature(RunOrder(spec.pipeline))),
                "tokens": Out(token_stream(spec)),
                "written": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, pipeline = self.spec, self.spec.pipeline
        parts, cut = both_steps(spec, Unpack)
        m.submodules.halve = cut
        m.submodules.cut = parts
        connect(m, cut.output, parts.input)
        m.submodules.orders = orders = StreamBuffer(spec.request.order)
        connect(m, orders.output, self.order)
        beats = buffered(m, "waiting", self.beats)
        address = Signal(32)  # of the next order
        due = Counted("due", pipeline.max_tiles + 1, init=0)  # tiles that have been ordered and have not come
        beat = Turns("beat", spec.tile_beats)  # of the present tile
        tokens = Signal(32)  # of the present text
        left = Signal(range(-pipeline.rows, pipeline.max_length + 1))  # of them without an order
        made = Signal(32)
        heads = Signal()  # the present beat begins a text
        m.submodules.runs = runs = StreamBuffer(self.runs.payload.shape())
        connect(m, runs.output, self.runs)
        order, run = orders.input.payload, runs.input.payload
        ordered = Signal()
        passed = Signal()
        m.d.comb += [
            Value.cast(cut.input.payload).eq(beats.payload[: len(Value.cast(cut.input.payload))]),
            cut.input.valid.eq(beats.valid & due.some),
            beats.ready.eq(Mux(due.some, cut.input.ready, heads)),
            passed.eq(cut.input.valid & cut.input.ready),
            self.tokens.valid.eq(parts.output.valid),
            self.tokens.payload.eq(Value.cast(parts.output.payload)),
            parts.output.ready.eq(self.tokens.ready),
            order.address.eq(address),
            run.tokens.eq(tokens),
            run.layers.eq(self.layers),
            run.trace.eq(self.trace),
        ]
        beat.step(m, passed)
        due.step(m, up=ordered, down=passed & beat.last)
        wrong = {Code.NOTHING_ASKED: self.texts == 0,
                 Code.BAD_LAYERS: (self.layers == 0) | (self.layers > pipeline.max_layers)}  # fmt: skip
        flags = {code: Signal(name=code.name.lower()) for code in wrong}
        m.d.sync += [flags[code].eq(condition) for code, condition in wrong.items()]
        empty = Signal()
        long = Signal()
        all_made = Signal()
        m.d.sync += [empty.eq(tokens == 0), long.eq(tokens > pipeline.max_length), all_made.eq(made == self.texts)]
        m.d.sync += self.ended.eq(0)
        with m.FSM(name="state"):
            with m.State("idle"):
                m.d.sync += [address.eq(0), made.eq(0), self.code.eq(Code.DONE)]
                with m.If(self.start):
                    m.next = "judge"
            with m.State("judge"):
                m.next = "ask"
                for code, flag in flags.items():
                    with m.If(flag):
                        m.d.sync += self.code.eq(code)
                        m.next = "finish"
            with m.State("ask"):
                m.d.comb += [orders.input.valid.eq(1), order.beats.eq(1)]
                with m.If(orders.input.ready):
                    m.d.sync += [address.eq(address + 1), made.eq(made + 1)]
                    m.next = "head"
            with m.State("head"):
                m.d.comb += heads.eq(1)
                m.d.sync += tokens.eq(beats.payload[:32])
                with m.If(beats.valid & ~due.some):
                    m.next = "look"
            with m.State("look"):  # the flags see the number of tokens
                m.d.sync += left.eq(tokens)
                m.next = "run"
            with m.State("run"):
                with m.If(empty | long):
                    m.d.sync += self.code.eq(Mux(empty, Code.NO_TOKENS, Code.FULL))
                    m.next = "finish"
                with m.Else():
                    m.d.comb += runs.input.valid.eq(1)
                    with m.If(runs.input.ready):
                        m.next = "tiles"
            with m.State("tiles"):
                m.d.comb += [orders.input.valid.eq(left > 0), order.beats.eq(spec.tile_beats)]
                with m.If(left <= 0):
                    m.next = "ask"
                    with m.If(all_made):
                        m.next = "finish"
                with m.Elif(orders.input.ready):
                    m.d.comb += ordered.eq(1)
                    m.d.sync += [left.eq(left - pipeline.rows), address.eq(address + spec.tile_beats)]
            with m.State("finish"):
                with m.If(self.written & ~due.some):
                    m.d.sync += self.ended.eq(1)
                    m.next = "idle"
        return m


class TextWriter(wiring.Component):
    """Writes the outputs of runs.

    Members: ``begin`` (strobe: the next tile is the first after the report); ``runs`` (stream of `RunOrder`);
    ``outputs`` (stream of the pipeline's beats); ``writes``, ``written``, ``acknowledged``: those of `WriteMaster`;
    ``idle``: the outputs of all runs are in memory; ``tiles``: those that are.
    """

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        super().__init__(
            {
                "begin": In(1),
                "runs": In(stream.Signature(RunOrder(spec.pipeline))),
                "outputs": In(token_stream(spec)),
                "writes": Out(stream.Signature(Request)),
                "written": Out(stream.Signature(Written)),
                "acknowledged": In(stream.Signature(unsigned(1))),
                "idle": Out(1),
                "tiles": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, pipeline = self.spec, self.spec.pipeline
        gathered, words = both_steps(spec, Pack)
        m.submodules.gathered = gathered
        m.submodules.words = words
        connect(m, gathered.output, words.input)
        m.submodules.requests = requests = StreamBuffer(Request)
        connect(m, requests.output, self.writes)
        runs = buffered(m, "waiting", self.runs)
        run = runs.payload
        left = Signal(range(-pipeline.rows, pipeline.max_length + 1))
        layers = Signal.like(run.layers)
        address = Signal(32)
        owed = Signal(32)
        sent = requests.input.valid & requests.input.ready
        m.d.comb += [
            Value.cast(gathered.input.payload).eq(self.outputs.payload),
            gathered.input.valid.eq(self.outputs.valid),
            self.outputs.ready.eq(gathered.input.ready),
            self.written.payload.data.eq(Value.cast(words.output.payload)),
            self.written.payload.strobes.eq(~0),
            self.written.valid.eq(words.output.valid),
            words.output.ready.eq(self.written.ready),
            requests.input.payload.address.eq(address),
            requests.input.payload.beats.eq(spec.tile_beats),
            self.acknowledged.ready.eq(1),
        ]
        m.d.sync += owed.eq(owed + sent - self.acknowledged.valid)
        with m.If(self.begin):
            m.d.sync += [address.eq(REPORT_BEATS), self.tiles.eq(0)]
        with m.Elif(self.acknowledged.valid):
            m.d.sync += self.tiles.eq(self.tiles + 1)
        with m.If(sent):
            m.d.sync += [address.eq(address + spec.tile_beats), left.eq(left - pipeline.rows)]
        with m.FSM(name="state"):
            with m.State("take"):
                m.d.comb += self.idle.eq(~runs.valid & (owed == 0))
                m.d.sync += [left.eq(run.tokens), layers.eq(Mux(run.trace, run.layers, 1))]
                with m.If(runs.valid):
                    m.next = "tiles"
            with m.State("tiles"):
                m.d.comb += requests.input.valid.eq(left > 0)
                with m.If(left <= 0):
                    m.d.sync += [layers.eq(layers - 1), left.eq(run.tokens)]
                    with m.If(layers == 1):
                        m.d.comb += runs.ready.eq(1)
                        m.next = "take"
        return m


class LayerReader(wiring.Component):
    """Reads a channel of an encoder's image: ``layer_beats`` beats for each layer of a run.

    Members: ``runs`` (stream of `RunOrder`), ``requests``, ``response``: those of a memory; ``data``: stream of beats.
    """

    def __init__(self, spec: KernelSpec, layer_beats: int):
        self.spec = (spec, layer_beats)
        self.layer_beats, self.order = layer_beats, RunOrder(spec.pipeline)
        beat = stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__(
            {
                "runs": In(stream.Signature(self.order)),
                "requests": Out(stream.Signature(Request)),
                "response": In(beat),
                "data": Out(beat),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(FetchSpec(max_beats=self.layer_beats, latency_cycles=MEMORY_LATENCY))
        connect(m, fetch.requests, self.requests)
        connect(m, self.response, fetch.response)
        connect(m, fetch.data, self.data)
        runs = buffered(m, "waiting", self.runs)
        address = Signal(32)
        layer = Signal.like(runs.payload.layers, init=1)
        last = layer == runs.payload.layers
        go = runs.valid & fetch.order.ready
        m.d.comb += [
            fetch.order.valid.eq(runs.valid),
            fetch.order.payload.address.eq(address),
            fetch.order.payload.beats.eq(self.layer_beats),
            runs.ready.eq(go & last),
        ]
        with m.If(go):
            m.d.sync += [
                layer.eq(Mux(last, 1, layer + 1)),
                address.eq(Mux(last, 0, address + self.layer_beats)),
            ]
        return m
