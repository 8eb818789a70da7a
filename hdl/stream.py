"""Tile streams: payload shapes, the checked connect, and the buffers, forks and converters that kernels use.

A stream carries a tensor [tokens, features] tile by tile. A beat has ``rows`` tokens x ``lanes`` consecutive features,
``payload[row][lane]``; the beats of a tile have the features in order. The handshake is that of `amaranth.lib.stream`:
``valid`` never waits for ``ready``, and a payload is steady while it waits.
"""

from collections.abc import Iterable
from math import ceil
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .counted import Turns
from .delay_registers import KEEP, advance
from .resources import Resources, ram_blocks

__all__ = [
    "BUFFER_DEPTH",
    "SLICE_BITS",
    "Fork",
    "Pack",
    "PipelineBuffer",
    "StreamBuffer",
    "Unpack",
    "buffer_resources",
    "buffered",
    "connect",
    "join",
    "pipeline_resources",
    "tile",
]


def tile(rows: int, lanes: int, shape: ShapeLike) -> data.ArrayLayout:
    """The payload of a tile stream: ``payload[row][lane]``, each of ``shape``."""
    return data.ArrayLayout(data.ArrayLayout(shape, lanes), rows)


def connect(m: Module, source: Any, sink: Any) -> None:
    """Connects two streams of the same payload shape; `wiring.connect` would accept any shapes.

    ``source`` is an output of a submodule or an input of the component; ``sink`` is the opposite.

    Raises:
        TypeError: for different payload shapes.
    """
    given, wanted = source.payload, sink.payload
    if given.shape() != wanted.shape():
        raise TypeError(f"streams must have one payload shape, not {given.shape()!r} and {wanted.shape()!r}")
    m.d.comb += [
        Value.cast(wanted).eq(Value.cast(given)),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


def join(m: Module, streams: Iterable[Any], room: Value) -> Value:
    """Takes a beat from each of ``streams`` at once, if all have one and ``room`` is high; returns this condition."""
    streams = list(streams)
    go = Signal(name="go")
    m.d.comb += go.eq(Cat(s.valid for s in streams).all() & room)
    m.d.comb += [s.ready.eq(go) for s in streams]
    return go


BUFFER_DEPTH = 2
"""Beats of a buffer that only cuts paths."""

SLICE_BITS = 96
"""Bits of a wide payload that share registers of control, so that none of these drives much more."""


def pieces(width: int, size: int = SLICE_BITS // 2) -> list[slice]:
    """``width`` bits cut into pieces of up to ``size``; by default for registers that drive two LUTs for each bit."""
    return [slice(first, min(first + size, width)) for first in range(0, width, size)]


LUT_WORDS = 64
"""Words of the deepest LUT RAM: an address drives each bit of a deeper one several times."""


def slice_bits(depth: int) -> int:
    """Bits of a slice of a `StreamBuffer` of ``depth`` beats."""
    return max(SLICE_BITS // ceil((depth - 1) / LUT_WORDS), 1)


class StreamBuffer(wiring.Component):
    """A FIFO of ``depth`` beats in distributed RAM, with a registered output.

    It has a latency of one cycle and takes one beat per cycle. ``input.ready`` and ``output.valid`` come directly from
    registers, so a buffer cuts every combinational path through a handshake. A wide payload is cut into slices of up to
    `slice_bits`, each with its own control. All slices move together, because they see the same handshake.
    """

    def __init__(self, shape: ShapeLike, depth: int = BUFFER_DEPTH):
        if depth < 2:
            raise ValueError(f"stream buffer depth must be at least 2, not {depth}")
        self.depth = depth
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        given, offered = Value.cast(self.input.payload), Value.cast(self.output.payload)
        for number, cut in enumerate(pieces(max(len(given), 1), slice_bits(self.depth))):
            part = BufferSlice(len(given[cut]), self.depth)
            m.submodules[f"slice_{number}"] = part
            m.d.comb += [
                part.input.payload.eq(given[cut]),
                part.input.valid.eq(self.input.valid),
                part.output.ready.eq(self.output.ready),
                offered[cut].eq(part.output.payload),
            ]
            if number == 0:
                m.d.comb += [self.input.ready.eq(part.input.ready), self.output.valid.eq(part.output.valid)]
        return m


def buffered(m: Module, name: str, source: Any, depth: int = BUFFER_DEPTH) -> Any:
    """A stream after a `StreamBuffer`, which is the submodule ``name``; it adds a cycle of latency.

    No path leads through it in either direction. ``source`` is as in `connect`.
    """
    m.submodules[name] = buffer = StreamBuffer(source.payload.shape(), depth)
    connect(m, source, buffer.input)
    return buffer.output


class BufferSlice(wiring.Component):
    """A slice of a `StreamBuffer`: a FIFO of ``depth`` words of ``width`` bits."""

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__({"input": In(stream.Signature(width)), "output": Out(stream.Signature(width))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words = self.depth - 1  # one more waits in the output register
        payload = self.input.payload
        # Registers are kept, so that their enables do not become inputs of a LUT for each bit.
        queued = Signal(self.width, reset_less=True, attrs=KEEP if words == 1 else None)
        level = Signal(range(words + 1))
        push = Signal()
        pop = Signal()
        taken = Signal()  # the output register is free, or its beat leaves
        m.d.comb += [
            taken.eq(~self.output.valid | self.output.ready),
            pop.eq(taken & (level != 0)),
            push.eq(self.input.valid & self.input.ready & ~(taken & (level == 0))),
            self.input.ready.eq(level != words),
        ]
        m.d.sync += level.eq(level + push - pop)
        with m.If(taken):
            m.d.sync += self.output.valid.eq((level != 0) | (self.input.valid & self.input.ready))
        held = Signal(self.width, reset_less=True, attrs=KEEP)
        with m.If(taken):
            m.d.sync += held.eq(Mux(level != 0, queued, payload))
        m.d.comb += self.output.payload.eq(held)
        if words == 1:
            with m.If(push):
                m.d.sync += queued.eq(payload)
        else:
            self._memory(m, words, queued, push, pop)
        return m

    def _memory(self, m: Module, words: int, queued: Signal, push: Signal, pop: Signal) -> None:
        m.submodules.memory = memory = Memory(
            shape=self.width, depth=words, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [write.data.eq(self.input.payload), write.en.eq(push), queued.eq(read.data)]
        for port, step in ((write, push), (read, pop)):
            pointer = Signal(range(words))
            m.d.comb += port.addr.eq(pointer)
            advance(m, pointer, words, step)


def buffer_resources(width: int, depth: int) -> Resources:
    """The resources of a `StreamBuffer` of ``depth`` beats of ``width`` bits."""
    slices = max(ceil(width / slice_bits(depth)), 1)
    if depth == 2:
        return Resources(lut=width + 4 * slices, ff=2 * width + 2 * slices)
    pointer = (depth - 1).bit_length()
    control = Resources(lut=4 * pointer + 2, ff=3 * pointer + 1) * slices
    return ram_blocks(width, depth - 1, "distributed") + Resources(lut=width, ff=width) + control


def pipeline_resources(width: int, depth: int) -> Resources:
    """The resources of a `PipelineBuffer` of ``depth`` beats of ``width`` bits."""
    count = depth.bit_length()
    return buffer_resources(width, depth) + Resources(lut=count, ff=count)


class PipelineBuffer(wiring.Component):
    """The FIFO at the end of a pipeline that never stalls.

    A pipeline of fixed latency accepts a beat (``take``) only while there is ``room`` for everything in flight. It
    delivers each result with ``push``, for which there is always room. So no enable reaches into the pipeline. With a
    depth of the pipeline's latency + 2 it accepts one beat per cycle.

    Members: ``room`` (registered), ``take``, ``push`` (a strobe) with ``payload``; ``output``, the stream.
    """

    def __init__(self, shape: ShapeLike, depth: int):
        self.depth = max(depth, 2)
        super().__init__(
            {
                "room": Out(1),
                "take": In(1),
                "push": In(1),
                "payload": In(shape),
                "output": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = StreamBuffer(self.output.payload.shape(), self.depth)
        in_flight = Signal(range(self.depth + 1))
        done = self.output.valid & self.output.ready
        m.d.sync += in_flight.eq(in_flight + self.take - done)
        m.d.comb += [
            self.room.eq(in_flight != self.depth),
            fifo.input.valid.eq(self.push),
            Value.cast(fifo.input.payload).eq(Value.cast(self.payload)),
        ]
        connect(m, fifo.output, self.output)
        return m


class Fork(wiring.Component):
    """Copies a stream to several readers, ``outputs[i]``, each with its own buffer of ``depth`` beats."""

    def __init__(self, shape: ShapeLike, readers: int, depth: int = BUFFER_DEPTH):
        self.readers, self.depth = readers, depth
        super().__init__({"input": In(stream.Signature(shape)), "outputs": Out(stream.Signature(shape)).array(readers)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        buffers = [StreamBuffer(self.input.payload.shape(), self.depth) for _ in range(self.readers)]
        go = Signal()
        m.d.comb += self.input.ready.eq(Cat(b.input.ready for b in buffers).all())
        m.d.comb += go.eq(self.input.valid & self.input.ready)
        for i, buffer in enumerate(buffers):
            m.submodules[f"buffer_{i}"] = buffer
            m.d.comb += Value.cast(buffer.input.payload).eq(Value.cast(self.input.payload))
            m.d.comb += buffer.input.valid.eq(go)
            connect(m, buffer.output, self.outputs[i])
        return m


def parts_of_rows(m: Module, ratio: int, beats: int, go: Value, copies: int) -> tuple[list[Signal], Signal]:
    """The part of its word that each beat is, and whether it is the last one; counted by ``go``, in registers.

    A word has ``ratio`` parts, a row ``beats`` beats; the last word of a row may be short. The part comes in several
    ``copies``, one for each of the `pieces` of all rows.
    """
    row = Turns("beat", beats)
    parts = [Signal(range(ratio), name=f"part{copy}", attrs=KEEP) for copy in range(copies)]
    last = Signal(init=min(ratio, beats) == 1)
    row.step(m, go)
    with m.If(go):
        m.d.sync += [part.eq(Mux(last, 0, part + 1)) for part in parts]
        m.d.sync += last.eq(Mux(last, int(ratio == 1), parts[0] == ratio - 2) | row.last_after)
    return parts, last


class Pack(wiring.Component):
    """Gathers beats of ``lanes`` features into words of ``lanes * ratio``.

    A row has ``beats`` beats; if this is no multiple of ``ratio``, its last word is filled up with zeros. It takes one
    beat per cycle; a word leaves in the cycle after its last beat.
    """

    def __init__(self, rows: int, lanes: int, ratio: int, shape: ShapeLike, *, beats: int):
        if min(rows, lanes, ratio, beats) < 1:
            raise ValueError(f"pack sizes must be at least 1, not {(rows, lanes, ratio, beats)}")
        self.rows, self.lanes, self.ratio, self.beats = rows, lanes, ratio, beats
        super().__init__(
            {
                "input": In(stream.Signature(tile(rows, lanes, shape))),
                "output": Out(stream.Signature(tile(rows, lanes * ratio, shape))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(self.output.payload.shape())
        cuts = pieces(len(Value.cast(self.input.payload[0])))
        accept = self.input.valid & self.input.ready
        parts, last = parts_of_rows(m, self.ratio, self.beats, accept, self.rows * len(cuts))
        m.d.comb += [
            self.input.ready.eq(buffer.input.ready | ~last),
            buffer.input.valid.eq(self.input.valid & last),
        ]
        copies = iter(parts)
        for row in range(self.rows):
            given = Value.cast(self.input.payload[row])
            words = [Signal(len(given), name=f"row{row}_word{i}") for i in range(self.ratio)]
            for cut in cuts:
                part, now = next(copies), given[cut]
                for i, word in enumerate(words):
                    # A part that is already gathered, the one that arrives, or zeros.
                    gathered = Signal(len(now), name=f"row{row}_part{i}_{cut.start}", reset_less=True)
                    with m.If(self.input.valid & (part == i)):
                        m.d.sync += gathered.eq(now)
                    m.d.comb += word[cut].eq(Mux(part == i, now, Mux(part > i, gathered, Const(0, len(now)))))
            m.d.comb += Value.cast(buffer.input.payload[row]).eq(Cat(words))
        connect(m, buffer.output, self.output)
        return m


class Unpack(wiring.Component):
    """Cuts words of ``lanes * ratio`` features into beats of ``lanes``: ``beats`` of each row; the rest is dropped."""

    def __init__(self, rows: int, lanes: int, ratio: int, shape: ShapeLike, *, beats: int):
        if min(rows, lanes, ratio, beats) < 1:
            raise ValueError(f"unpack sizes must be at least 1, not {(rows, lanes, ratio, beats)}")
        self.rows, self.lanes, self.ratio, self.beats = rows, lanes, ratio, beats
        super().__init__(
            {
                "input": In(stream.Signature(tile(rows, lanes * ratio, shape))),
                "output": Out(stream.Signature(tile(rows, lanes, shape))),
            }
        )

    @property
    def words(self) -> int:
        """Words of a row."""
        return ceil(self.beats / self.ratio)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(self.output.payload.shape())
        width = len(Value.cast(self.input.payload[0])) // self.ratio
        cuts = pieces(width, SLICE_BITS // max(2, ceil(self.ratio / 4)))  # a part drives as many LUTs for each bit
        go = self.input.valid & buffer.input.ready
        parts, last = parts_of_rows(m, self.ratio, self.beats, go, self.rows * len(cuts))
        m.d.comb += [buffer.input.valid.eq(self.input.valid), self.input.ready.eq(buffer.input.ready & last)]
        copies = iter(parts)
        for row in range(self.rows):
            word = Value.cast(self.input.payload[row])
            choices = [word.word_select(i, width) for i in range(self.ratio)]
            for cut in cuts:
                chosen = Array(choice[cut] for choice in choices)[next(copies)]
                m.d.comb += Value.cast(buffer.input.payload[row])[cut].eq(chosen)
        connect(m, buffer.output, self.output)
        return m
