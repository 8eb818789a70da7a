"""Several readers of one memory port: one request at a time, and each request's beats back to its reader."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS, Request
from ..resources import Resources
from ..stream import StreamBuffer, buffer_resources, connect

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

    latency = 1
    """Latency of a request in cycles; a beat has none."""

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
        buffers = buffer_resources(Request.size, 2) + buffer_resources(self.owner.size, self.outstanding)
        return buffers + Resources(lut=2 * Request.size + 24, ff=Request["beats"].width)


class ReadArbiter(wiring.Component):
    """Passes one request per cycle; `ReadArbiterSpec.latency`.

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
        room = Signal()
        go = Signal()
        m.d.comb += [
            room.eq(chosen.input.ready & owners.input.ready),
            go.eq(room & Cat(asked.valid for asked in self.asked).any()),
            chosen.input.valid.eq(go),
            owners.input.valid.eq(go),
            owners.input.payload.beats.eq(chosen.input.payload.beats),
        ]
        # Later assignments win, so the first reader comes last.
        for reader, (asked, base) in reversed([*enumerate(zip(self.asked, spec.bases, strict=True))]):
            before = Cat(other.valid for other in list(self.asked)[:reader]).any()
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
        count = Signal(Request["beats"].width)
        ends = Signal()
        take = self.response.valid & self.response.ready
        m.d.comb += ends.eq(count == owner.payload.beats - 1)
        m.d.comb += owner.ready.eq(take & ends)
        with m.If(take):
            m.d.sync += count.eq(Mux(ends, 0, count + 1))
        for reader, found in enumerate(self.found):
            own = owner.valid & (owner.payload.reader == reader)
            m.d.comb += [found.payload.eq(self.response.payload), found.valid.eq(self.response.valid & own)]
            with m.If(own):
                m.d.comb += self.response.ready.eq(found.ready)
