"""What a run reads of memory: segments of each channel, prompt and token each in one or two long ones."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...channel import CHANNEL_BITS
from ...counted import Rotation
from ...kernels.fetch import FetchSpec
from ...stream import buffered

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
        left = Signal(range(max(len(self.prompt), len(self.token))))  # segments of the run after this one
        busy = Signal()
        shared = self.runs.payload
        fields = zip(("address", "beats"), zip(*every, strict=True), strict=True)
        for name, values in fields:
            m.d.comb += self.segments.payload[name].eq(Array(Const(value) for value in values)[index])
        m.d.comb += [self.segments.valid.eq(busy), self.runs.ready.eq(~busy)]
        with m.If(self.runs.valid & ~busy):
            m.d.sync += [
                busy.eq(1),
                index.eq(Mux(shared, len(self.prompt), 0)),
                left.eq(Mux(shared, len(self.token) - 1, len(self.prompt) - 1)),
            ]
        with m.If(busy & self.segments.ready):
            m.d.sync += [busy.eq(left != 0), index.eq(index + 1), left.eq(left - 1)]
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
        channel = buffered(m, "waiting", self.channel)
        section = Rotation(self.lengths)
        ready = Cat(bit & output.ready for bit, output in zip(section.item, self.outputs, strict=True)).any()
        m.d.comb += channel.ready.eq(ready)
        for bit, output in zip(section.item, self.outputs, strict=True):
            m.d.comb += [output.payload.eq(channel.payload), output.valid.eq(channel.valid & bit)]
        section.step(m, channel.valid & channel.ready)
        return m
