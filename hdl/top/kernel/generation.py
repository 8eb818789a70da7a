"""A request of a decoder: the prompt from memory, then one command for each token, until a stop token or the number."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...card.answers import ANSWER
from ...card.session import Code
from ...channel import CHANNEL_BITS
from ...kernels.tokensampler import SAMPLING
from ...stream import StreamBuffer, connect
from ..decoder.orders import Command, Outcome, Status
from .kernel_spec import ID_BITS, KernelSpec

__all__ = ["NO_STOP", "Generation"]

NO_STOP = 0xFFFF_FFFF
"""The stop token that no token is."""

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
        connect(m, ids.output, self.ids)
        connect(m, answers.output, self.answers)
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
        command, result, status = self.commands.payload, self.results.payload, self.status.payload
        m.d.comb += [
            command.restart.eq(first & given.restart),
            command.k.eq(given.candidates),
            command.tokens.eq(Mux(first, given.tokens, 1)),
        ]
        prompt_beats = Signal(16)
        m.d.sync += prompt_beats.eq((given.tokens[:16] + (WORDS - 1)) >> 4)
        uniforms = Signal(CHANNEL_BITS, reset_less=True)  # the next one in the lowest bits
        m.d.comb += [
            self.how.payload.factor.eq(given.temperature[:16]),
            self.how.payload.shift.eq(given.temperature[16:22]),
            self.how.payload.uniform.eq(uniforms[:ID_BITS]),
        ]
        samples = Signal()
        m.d.sync += samples.eq(given.temperature[:16] != 0)
        last_made = Signal()
        stops = Signal()
        m.d.sync += [last_made.eq(made == given.generate), stops.eq(token == given.stop)]
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
                m.d.comb += self.beats.ready.eq(1)
                m.d.sync += uniforms.eq(self.beats.payload)
                with m.If(self.beats.valid):
                    m.next = "command"
                    with m.If(first):
                        m.next = "prompt"
            with m.State("prompt"):
                m.d.comb += [self.order.valid.eq(1), self.order.payload.beats.eq(prompt_beats)]
                with m.If(self.order.ready):
                    m.next = "command"
            with m.State("command"):
                m.d.comb += self.commands.valid.eq(1)
                with m.If(self.commands.ready):
                    m.next = "id"
                    with m.If(first):
                        m.next = "ids"
            with m.State("ids"):
                sent = self._prompt(m, ids.input)
                with m.If(sent):
                    m.next = "results"
            with m.State("id"):
                m.d.comb += [ids.input.valid.eq(1), ids.input.payload.eq(token)]
                with m.If(ids.input.ready):
                    m.next = "results"
            with m.State("results"):
                m.d.sync += first.eq(0)
                m.d.comb += [
                    self.how.valid.eq(self.results.valid & ~told),
                    self.results.ready.eq(answers.input.ready & self.candidates.ready),
                    self.candidates.valid.eq(self.results.valid & answers.input.ready),
                    Value.cast(self.candidates.payload).eq(Cat(result.token, result.logit, result.last)),
                    answers.input.valid.eq(self.results.valid & self.candidates.ready & given.tell),
                    answers.input.payload.token.eq(result.token),
                    answers.input.payload.logit.eq(result.logit),
                    answers.input.payload.last.eq(result.last),
                    self.status.ready.eq(~self.results.valid),
                ]
                with m.If(self.how.valid & self.how.ready):
                    m.d.sync += told.eq(1)
                with m.If(self.status.valid & ~self.results.valid):
                    m.next = "draw"
                    with m.If(status.outcome != Outcome.DONE):
                        m.d.sync += self.code.eq(status.outcome)
                        m.next = "finish"
            with m.State("draw"):
                m.d.comb += self.drawn.ready.eq(1)
                m.d.sync += token.eq(self.drawn.payload)
                with m.If(self.drawn.valid):
                    m.d.sync += [made.eq(made + 1), told.eq(0), uniforms.eq(uniforms >> ID_BITS)]
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
                    m.d.comb += self.ended.eq(1)
                    m.next = "idle"
        return m

    def _prompt(self, m: Module, ids: Any) -> Signal:
        """Sends the ids of the prompt; returns the strobe of the last one. An id that does not exist becomes the first
        one after the vocabulary, which the decoder refuses."""
        vocabulary = self.spec.decoder.vocabulary
        words = Signal(CHANNEL_BITS, reset_less=True)
        held = Signal(WORDS)  # a bit for each id that is left of the beat
        sent = Signal(32)
        last = Signal()
        word = words[:ID_BITS]
        m.d.comb += [
            self.beats.ready.eq(held == 0),
            ids.valid.eq(held[0]),
            ids.payload.eq(Mux(word >= vocabulary, vocabulary, word)),
            last.eq(ids.valid & ids.ready & (sent + 1 == self.arguments.tokens)),
        ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += [words.eq(self.beats.payload), held.eq(~0)]
        with m.Elif(ids.valid & ids.ready):
            m.d.sync += [words.eq(words >> ID_BITS), held.eq(Mux(last, 0, held >> 1)), sent.eq(Mux(last, 0, sent + 1))]
        return last
