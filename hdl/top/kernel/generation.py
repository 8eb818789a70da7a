"""A request of a decoder: the prompt from memory, then one command for each token, until a stop token or the number."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...card.answers import ANSWER
from ...card.session import Code
from ...channel import CHANNEL_BITS
from ...counted import Turns
from ...kernels.tokensampler import SAMPLING
from ...stream import StreamBuffer, Unpack, buffered, connect
from ..decoder.orders import Command, Outcome, Status
from .kernel_spec import ID_BITS, KernelSpec

__all__ = ["Generation"]

WORDS = CHANNEL_BITS // ID_BITS
"""Words of a beat of the request."""

ARGUMENTS = data.StructLayout(
    dict.fromkeys(("tokens", "generate", "candidates", "stop", "temperature"), unsigned(32)) | {"restart": 1, "tell": 1}
)
"""``tokens`` of the prompt; how many to ``generate``; how many ``candidates`` of each the design looks for; the token
after which it ``stop``s; the factor of the ``temperature`` in bits 0 to 15 and its shift in bits 16 to 21, 0 for the
best. ``restart``: the prompt begins a text. ``tell``: candidates are answers, too."""


class Generation(wiring.Component):
    """Carries out a request.

    Members:
        start: strobe; ``arguments`` are steady from then until ``ended``, a strobe with the `Code`.
        order, beats: streams of the request's reader. The buffer has the ids of the prompt, and from a beat on uniform
            numbers, one for each token to generate; 16 words of 32 bits in a beat.
        how, candidates, drawn: the streams of `TokenSampler`.
        commands, ids, results, status: the streams of `DecoderPipeline`.
        answers: stream of `ANSWER`. ``written``: all of them are in memory.
    """

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        pipeline = spec.decoder
        super().__init__(
            {
                "start": In(1),
                "arguments": In(ARGUMENTS),
                "ended": Out(1),
                "code": Out(8),
                "order": Out(stream.Signature(spec.request.order)),
                "beats": In(stream.Signature(unsigned(CHANNEL_BITS))),
                "how": Out(stream.Signature(SAMPLING)),
                "candidates": Out(stream.Signature(spec.sampler.candidate)),
                "drawn": In(stream.Signature(unsigned(spec.sampler.token_bits))),
                "commands": Out(stream.Signature(Command(pipeline))),
                "ids": Out(stream.Signature(range(pipeline.vocabulary + 1))),
                "results": In(stream.Signature(pipeline.candidates.result)),
                "status": In(stream.Signature(Status(pipeline))),
                "answers": Out(stream.Signature(ANSWER)),
                "written": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        given, pipeline = self.arguments, self.spec.decoder
        m.submodules.ids = ids = StreamBuffer(self.ids.payload.shape())
        m.submodules.answers = answers = StreamBuffer(ANSWER)
        m.submodules.commands = commands = StreamBuffer(self.commands.payload.shape())
        m.submodules.how = how = StreamBuffer(SAMPLING)
        m.submodules.candidates = candidates = StreamBuffer(self.candidates.payload.shape())
        m.submodules.quarter = quarter = Unpack(1, 4, WORDS // 4, unsigned(ID_BITS), beats=WORDS // 4)
        m.submodules.cut = cut = Unpack(1, 1, 4, unsigned(ID_BITS), beats=WORDS)
        connect(m, quarter.output, cut.input)
        for buffer, sink in ((ids, self.ids), (answers, self.answers), (commands, self.commands), (how, self.how),
                             (candidates, self.candidates)):  # fmt: skip
            connect(m, buffer.output, sink)
        results = buffered(m, "results", self.results)
        beats = buffered(m, "beats", self.beats)
        m.d.comb += [
            Value.cast(quarter.input.payload).eq(beats.payload),
            quarter.input.valid.eq(beats.valid),
            beats.ready.eq(quarter.input.ready),
        ]
        words, word = cut.output, Value.cast(cut.output.payload)
        first = Signal()  # the prompt has not been taken yet
        token = Signal(pipeline.candidates.token_bits)
        made = Signal(32)
        told = Signal()  # the sampler knows how to draw the present token
        wrong = {
            Code.NO_TOKENS: given.tokens == 0,
            Code.FULL: given.tokens > pipeline.positions,
            Code.BAD_CANDIDATES: (given.candidates == 0) | (given.candidates > pipeline.largest),
            Code.NOTHING_ASKED: given.generate == 0,
        }
        flags = {code: Signal(name=code.name.lower()) for code in wrong}
        m.d.sync += [flags[code].eq(condition) for code, condition in wrong.items()]
        command, result, status = commands.input.payload, results.payload, self.status.payload
        m.d.comb += [
            command.restart.eq(first & given.restart),
            command.k.eq(given.candidates),
            command.tokens.eq(Mux(first, given.tokens, 1)),
        ]
        prompt_beats = Signal(16)
        m.d.sync += prompt_beats.eq((given.tokens[:16] + (WORDS - 1)) >> 4)
        m.submodules.uniforms = uniforms = Memory(
            shape=unsigned(ID_BITS), depth=WORDS, init=[], attrs={"ram_style": "distributed"}
        )
        place, given_uniform = uniforms.write_port(), uniforms.read_port()
        index = Turns("word", WORDS)  # of the present beat
        m.d.comb += [
            place.addr.eq(index.count),
            place.data.eq(word),
            given_uniform.addr.eq(made[:4]),
            how.input.payload.factor.eq(given.temperature[:16]),
            how.input.payload.shift.eq(given.temperature[16:22]),
            how.input.payload.uniform.eq(given_uniform.data),
        ]
        index.step(m, words.valid & words.ready)
        left = Signal(range(pipeline.positions + 1))  # ids of the prompt that have not been sent
        samples = Signal()
        m.d.sync += samples.eq(given.temperature[:16] != 0)
        last_made = Signal()
        stops = Signal()
        m.d.sync += [last_made.eq(made == given.generate), stops.eq(token == given.stop)]
        m.d.sync += self.ended.eq(0)
        with m.FSM(name="state"):
            with m.State("idle"):
                m.d.sync += [first.eq(1), made.eq(0)]
                with m.If(self.start):
                    m.next = "judge"
            with m.State("judge"):  # the flags have seen the arguments
                m.d.sync += self.code.eq(Code.DONE)
                m.next = "uniform"
                for code, flag in reversed(flags.items()):
                    with m.If(flag):
                        m.d.sync += self.code.eq(code)
                        m.next = "finish"
            with m.State("uniform"):  # a beat of uniform numbers for the next tokens
                m.d.comb += [
                    self.order.valid.eq(samples & (made[:4] == 0)),
                    self.order.payload.address.eq(prompt_beats + made[4:]),
                    self.order.payload.beats.eq(1),
                ]
                with m.If(self.order.valid & self.order.ready):
                    m.next = "uniforms"
                with m.Elif(~self.order.valid):
                    m.next = "command"
                    with m.If(first):
                        m.next = "prompt"
            with m.State("uniforms"):
                m.d.comb += [words.ready.eq(1), place.en.eq(words.valid)]
                with m.If(words.valid & index.last):
                    m.next = "command"
                    with m.If(first):
                        m.next = "prompt"
            with m.State("prompt"):
                m.d.comb += [self.order.valid.eq(1), self.order.payload.beats.eq(prompt_beats)]
                m.d.sync += left.eq(given.tokens)
                with m.If(self.order.ready):
                    m.next = "command"
            with m.State("command"):
                m.d.comb += commands.input.valid.eq(1)
                with m.If(commands.input.ready):
                    m.next = "id"
                    with m.If(first):
                        m.next = "ids"
            with m.State("ids"):
                # An id that does not exist becomes the first one after the vocabulary, which the decoder refuses.
                m.d.comb += [
                    ids.input.valid.eq(words.valid),
                    ids.input.payload.eq(Mux(word >= pipeline.vocabulary, pipeline.vocabulary, word)),
                    words.ready.eq(ids.input.ready),
                ]
                with m.If(words.valid & words.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "rest"
                        with m.If(index.last):
                            m.next = "results"
            with m.State("rest"):  # of the last beat
                m.d.comb += words.ready.eq(1)
                with m.If(words.valid & index.last):
                    m.next = "results"
            with m.State("id"):
                m.d.comb += [ids.input.valid.eq(1), ids.input.payload.eq(token)]
                with m.If(ids.input.ready):
                    m.next = "results"
            with m.State("results"):
                m.d.sync += first.eq(0)
                m.d.comb += [
                    how.input.valid.eq(results.valid & ~told),
                    results.ready.eq(answers.input.ready & candidates.input.ready),
                    candidates.input.valid.eq(results.valid & answers.input.ready),
                    Value.cast(candidates.input.payload).eq(Cat(result.token, result.logit, result.last)),
                    answers.input.valid.eq(results.valid & candidates.input.ready & given.tell),
                    answers.input.payload.token.eq(result.token),
                    answers.input.payload.logit.eq(result.logit),
                    answers.input.payload.last.eq(result.last),
                    self.status.ready.eq(~results.valid),
                ]
                with m.If(how.input.valid & how.input.ready):
                    m.d.sync += told.eq(1)
                with m.If(self.status.valid & ~results.valid):
                    m.next = "draw"
                    with m.If(status.outcome != Outcome.DONE):
                        m.d.sync += self.code.eq(status.outcome)
                        m.next = "finish"
            with m.State("draw"):
                m.d.comb += self.drawn.ready.eq(1)
                m.d.sync += token.eq(self.drawn.payload)
                with m.If(self.drawn.valid):
                    m.d.sync += [made.eq(made + 1), told.eq(0)]
                    m.next = "judge_token"
            with m.State("judge_token"):  # the flags see the token
                m.next = "record"
            with m.State("record"):
                m.d.comb += [
                    answers.input.valid.eq(1),
                    answers.input.payload.token.eq(token),
                    answers.input.payload.record.eq(1),
                ]
                with m.If(answers.input.ready):
                    m.next = "uniform"
                    with m.If(last_made | stops):
                        m.next = "finish"
            with m.State("finish"):
                # An answer on its way to the writer is seen in one of its states for the whole of its way.
                with m.If(self.written & ~answers.output.valid):
                    m.d.sync += self.ended.eq(1)
                    m.next = "idle"
        return m
