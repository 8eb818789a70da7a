"""A request of a decoder: the prompt from memory, then one command for each token, until a stop token or the number."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...card.answers import ANSWER
from ...card.session import Code
from ...channel import CHANNEL_BITS
from ...stream import StreamBuffer, connect
from ..decoder.orders import Command, Outcome, Status
from .kernel_spec import ID_BITS, KernelSpec

__all__ = ["NO_STOP", "Generation"]

NO_STOP = 0xFFFF_FFFF
"""The stop token that no token is."""

ARGUMENTS = data.StructLayout(
    dict.fromkeys(("tokens", "generate", "candidates", "stop"), unsigned(32)) | {"restart": 1, "tell": 1}
)
"""``tokens`` of the prompt; how many to ``generate``; how many ``candidates`` of each the design looks for; the token
after which it ``stop``s. ``restart``: the prompt begins a text. ``tell``: candidates are answers, too."""


class Generation(wiring.Component):
    """Carries out a request.

    Members:
        start: strobe; ``arguments`` are steady from then until ``ended``, a strobe with the `Code`.
        order, beats: streams of the request's reader; 16 ids of 32 bits in a beat, from the buffer's first on.
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
        chosen = Signal()  # the present token's first result has come
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
            self.order.payload.beats.eq((given.tokens[:16] + (CHANNEL_BITS // ID_BITS - 1)) >> 4),
            command.restart.eq(first & given.restart),
            command.k.eq(given.candidates),
            command.tokens.eq(Mux(first, given.tokens, 1)),
        ]
        last_made = Signal()
        stops = Signal()
        m.d.sync += [last_made.eq(made == given.generate), stops.eq(token == given.stop)]
        with m.FSM(name="state"):
            with m.State("idle"):
                m.d.sync += [first.eq(1), made.eq(0), chosen.eq(0)]
                with m.If(self.start):
                    m.next = "judge"
            with m.State("judge"):  # the flags have seen the arguments
                m.d.sync += self.code.eq(Code.DONE)
                m.next = "prompt"
                for code, flag in reversed(flags.items()):
                    with m.If(flag):
                        m.d.sync += self.code.eq(code)
                        m.next = "finish"
            with m.State("prompt"):
                m.d.comb += self.order.valid.eq(1)
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
                    self.results.ready.eq(answers.input.ready),
                    answers.input.valid.eq(self.results.valid & given.tell),
                    answers.input.payload.token.eq(result.token),
                    answers.input.payload.logit.eq(result.logit),
                    answers.input.payload.last.eq(result.last),
                    self.status.ready.eq(~self.results.valid),
                ]
                with m.If(self.results.valid & self.results.ready):
                    m.d.sync += chosen.eq(~result.last)
                    with m.If(~chosen):
                        m.d.sync += [token.eq(result.token), made.eq(made + 1)]
                with m.If(self.status.valid & ~self.results.valid):
                    m.next = "record"
                    with m.If(status.outcome != Outcome.DONE):
                        m.d.sync += self.code.eq(status.outcome)
                        m.next = "finish"
            with m.State("record"):
                m.d.comb += [
                    answers.input.valid.eq(1),
                    answers.input.payload.token.eq(token),
                    answers.input.payload.record.eq(1),
                ]
                with m.If(answers.input.ready):
                    m.next = "command"
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
        slots = CHANNEL_BITS // ID_BITS
        words = Signal(CHANNEL_BITS, reset_less=True)
        held = Signal(slots)  # a bit for each id that is left of the beat
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
