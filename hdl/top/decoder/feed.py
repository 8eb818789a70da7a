"""What a run reads of memory: segments of each channel, prompt and token each in one or two long ones."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...channel import CHANNEL_BITS
from ...kernels.fetch import FetchSpec

__all__ = ["Sections", "Segments"]


class Segments(wiring.Component):
    """The segments of a channel that a run reads, each (address, beats), in beats of 64 bytes.

    Members: ``runs`` (stream, a bit: a token's run, not a prompt's), ``segments`` (stream of `FetchSpec.order`).
    """

    def __init__(self, fetch: FetchSpec, prompt: Sequence[tuple[int, int]], token: Sequence[tuple[int, int]]):
        self.prompt, self.token = tuple(prompt), tuple(token)
        self.spec = (fetch, self.prompt, self.token)
        super().__init__({"runs": In(stream.Signature(1)), "segments": Out(stream.Signature(fetch.order))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        every = [*self.prompt, *self.token]
        index = Signal(range(len(every)))
        chosen = Signal(range(len(every) + 1))
        shared = self.runs.payload
        m.d.comb += chosen.eq(index + Mux(shared, len(self.prompt), 0))
        last = index == Mux(shared, len(self.token), len(self.prompt)) - 1
        fields = zip(("address", "beats"), zip(*every, strict=True), strict=True)
        for name, values in fields:
            m.d.comb += self.segments.payload[name].eq(Array(Const(value) for value in values)[chosen])
        m.d.comb += [self.segments.valid.eq(self.runs.valid), self.runs.ready.eq(self.segments.ready & last)]
        with m.If(self.segments.valid & self.segments.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        return m


class Sections(wiring.Component):
    """A channel cut in sections of constant lengths, in beats, over and over. Members: ``channel``, ``outputs[i]``."""

    def __init__(self, lengths: Sequence[int]):
        self.lengths = tuple(lengths)
        self.spec = self.lengths
        beat = stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__({"channel": In(beat), "outputs": Out(beat).array(len(self.lengths))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        section = Signal(range(len(self.lengths)))
        beat = Signal(range(max(self.lengths)))
        m.d.comb += [output.payload.eq(self.channel.payload) for output in self.outputs]
        with m.Switch(section):
            for i, (length, output) in enumerate(zip(self.lengths, self.outputs, strict=True)):
                with m.Case(i):
                    m.d.comb += [output.valid.eq(self.channel.valid), self.channel.ready.eq(output.ready)]
                    with m.If(self.channel.valid & output.ready):
                        m.d.sync += beat.eq(beat + 1)
                        with m.If(beat == length - 1):
                            m.d.sync += [beat.eq(0), section.eq((i + 1) % len(self.lengths))]
        return m
