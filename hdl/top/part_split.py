"""Cuts the results of a linear unit into the streams of their parts."""

from typing import Any, NamedTuple

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream import StreamBuffer, connect, tile

__all__ = ["PartSplit", "PartSplitSpec"]


class PartSplitSpec(NamedTuple):
    """Tiles of ``rows`` x ``lanes`` signed values of so many ``bits``; the parts of a tile have so many ``beats``."""

    rows: int
    lanes: int
    bits: int
    beats: tuple[int, ...]


class PartSplit(wiring.Component):
    """Cuts each tile of ``input`` into the ``outputs``: the parts, one after the other. A stream buffer before each
    output takes a cycle."""

    def __init__(self, spec: PartSplitSpec):
        self.spec = spec
        values = stream.Signature(tile(spec.rows, spec.lanes, signed(spec.bits)))
        super().__init__({"input": In(values), "outputs": Out(values).array(len(spec.beats))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beats = self.spec.beats
        part = Signal(range(len(beats)))
        beat = Signal(range(max(beats)))
        last = Signal()  # the beat is the last of its part
        with m.Switch(part):
            for index, count in enumerate(beats):
                with m.Case(index):
                    m.d.comb += last.eq(beat == count - 1)
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(last):
                m.d.sync += [beat.eq(0), part.eq(Mux(part == len(beats) - 1, 0, part + 1))]
        ready = 0
        for index, output in enumerate(self.outputs):
            m.submodules[f"buffer_{index}"] = buffer = StreamBuffer(self.input.payload.shape())
            m.d.comb += [
                buffer.input.payload.eq(self.input.payload),
                buffer.input.valid.eq(self.input.valid & (part == index)),
            ]
            ready |= buffer.input.ready & (part == index)
            connect(m, buffer.output, output)
        m.d.comb += self.input.ready.eq(ready)
        return m
