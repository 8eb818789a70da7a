"""Several readers of one memory port: one request at a time, and each request's beats back to its reader."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request
from ..resources import Resources
from ..stream import StreamBuffer, buffer_resources, buffered, connect

__all__ = ["ReadArbiter", "ReadArbiterSpec"]


@dataclass(frozen=True, kw_only=True)
class ReadArbiterSpec:
    """The readers of a port.

    Attributes:
        bases: for each reader the beat of memory at which its addresses begin. A reader goes before those after it, so
            the first should be one with few requests.
        outstanding: requests whose beats may still be on their way.

    Raises:
        ValueError: for fewer than two readers, or fewer than two outstanding requests.
    """

    bases: tuple[int, ...]
    outstanding: int = 16

    request_latency = 2
    """Latency of a request in cycles: its buffer, the buffer of the port."""

    beat_latency = 1
    """Latency of a beat in cycles."""

    latency = request_latency + beat_latency
    """Cycles that the arbiter adds to those from a request to its first beat."""

    def __post_init__(self) -> None:
        if len(self.bases) < 2:
            raise ValueError(f"read arbiter must have at least 2 readers, not {len(self.bases)}")
        if self.outstanding < 2:
            raise ValueError(f"read arbiter must let at least 2 requests be on their way, not {self.outstanding}")

    @property
    def owner(self) -> data.StructLayout:
        """A request under way: its ``reader``, and its ``beats``."""
        return data.StructLayout({"reader": Shape.cast(range(len(self.bases))), "beats": Request["beats"].shape})

    @property
    def resources(self) -> Resources:
        """LUT and FF, estimated: the choice of a request and its base, the owners, and the count of their beats."""
        buffers = buffer_resources(Request.size, 2) * (len(self.bases) + 1)
        buffers += buffer_resources(self.owner.size, self.outstanding) + buffer_resources(CHANNEL_BITS, 2)
        return buffers + Resources(lut=2 * Request.size + 24, ff=self.owner.size + 2)


class ReadArbiter(wiring.Component):
    """Passes one request and one beat per cycle; `ReadArbiterSpec.request_latency`, `ReadArbiterSpec.beat_latency`.

    Members:
        asked[i]: streams of `Request`; the addresses count from reader i's base.
        found[i]: streams of 512-bit beats for reader i.
        requests, response: those of the port; beats come in the order of the requests.
    """

    def __init__(self, spec: ReadArbiterSpec):
        self.spec = spec
        readers, beat = len(spec.bases), stream.Signature(unsigned(CHANNEL_BITS))
        super().__init__(
            {
                "asked": In(stream.Signature(Request)).array(readers),
                "found": Out(beat).array(readers),
                "requests": Out(stream.Signature(Request)),
                "response": In(beat),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.chosen = chosen = StreamBuffer(Request)
        m.submodules.owners = owners = StreamBuffer(spec.owner, spec.outstanding)
        connect(m, chosen.output, self.requests)
        waiting = [buffered(m, f"waiting_{reader}", asked) for reader, asked in enumerate(self.asked)]
        room = Signal()
        go = Signal()
        m.d.comb += [
            room.eq(chosen.input.ready & owners.input.ready),
            go.eq(room & Cat(asked.valid for asked in waiting).any()),
            chosen.input.valid.eq(go),
            owners.input.valid.eq(go),
            owners.input.payload.beats.eq(chosen.input.payload.beats),
        ]
        # Later assignments win, so the first reader comes last.
        for reader, (asked, base) in reversed([*enumerate(zip(waiting, spec.bases, strict=True))]):
            before = Cat(other.valid for other in waiting[:reader]).any()
            m.d.comb += asked.ready.eq(room & ~before)
            with m.If(asked.valid):
                m.d.comb += [
                    chosen.input.payload.address.eq(asked.payload.address + base),
                    chosen.input.payload.beats.eq(asked.payload.beats),
                    owners.input.payload.reader.eq(reader),
                ]
        self._give(m, owners.output)
        return m

    def _give(self, m: Module, owner: Any) -> None:
        """Hands the beats of each request to its reader."""
        beats = buffered(m, "beats", self.response)
        valid = Signal()  # a request's beats are awaited
        reader = Signal.like(owner.payload.reader, reset_less=True)
        left = Signal.like(owner.payload.beats, reset_less=True)  # beats after the next one
        last = Signal(reset_less=True)  # there are none
        take = beats.valid & beats.ready
        m.d.comb += owner.ready.eq(~valid | (take & last))
        with m.If(owner.ready):
            m.d.sync += [valid.eq(owner.valid), reader.eq(owner.payload.reader)]
            m.d.sync += [left.eq(owner.payload.beats - 1), last.eq(owner.payload.beats == 1)]
        with m.Elif(take):
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
        for number, found in enumerate(self.found):
            own = valid & (reader == number)
            m.d.comb += [found.payload.eq(beats.payload), found.valid.eq(beats.valid & own)]
            with m.If(own):
                m.d.comb += beats.ready.eq(found.ready)
