"""The promises of the stream blocks, proven for all inputs and any number of cycles (see `tests.contracts`)."""

from collections.abc import Callable
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.delay_registers import delay
from hdl.stream import Fork, Pack, PipelineBuffer, StreamBuffer, Unpack, connect, join
from sim.formal import Refuted, prove

from .contracts import FAULTS, Claims, Contract, Faulty, Handshake, Tracker, assert_output, assume_steady, moves, within

DELAY = 4
"""The most cycles that a block may take for what it owes. The blocks take fewer."""


class Pipeline(wiring.Component):
    """A pipeline of 2 cycles with a buffer at its end."""

    input: In(stream.Signature(unsigned(1)))
    output: Out(stream.Signature(unsigned(1)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = PipelineBuffer(unsigned(1), 4)
        take = self.input.valid & buffer.room
        m.d.comb += [
            self.input.ready.eq(buffer.room),
            buffer.take.eq(take),
            buffer.push.eq(delay(m, "push", take, 2, control=True)),
            buffer.payload.eq(delay(m, "payload", self.input.payload, 2)),
        ]
        connect(m, buffer.output, self.output)
        return m


class Joined(wiring.Component):
    """Two streams side by side."""

    inputs: In(stream.Signature(unsigned(1))).array(2)
    output: Out(stream.Signature(unsigned(2)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(unsigned(2))
        m.d.comb += buffer.input.valid.eq(join(m, list(self.inputs), buffer.input.ready))
        m.d.comb += buffer.input.payload.eq(Cat(each.payload for each in self.inputs))
        connect(m, buffer.output, self.output)
        return m


def takes(m: Module, items: Tracker, port: Any, depth: int) -> None:
    """``port`` takes an item while fewer than ``depth`` are on the way."""
    within(m, (items.level < depth) & port.valid & ~port.ready, DELAY, f"takes {depth} items while none leaves")


def claim_fifo(depth: int) -> Claims:
    """Beats leave as they came; ``depth`` of them are taken while none leaves."""

    def claims(m: Module, block: Any, mark: Value) -> None:
        source, sink = block.input, block.output
        assume_steady(m, source, "input")
        items = Tracker(m, "output", mark, moves(source), source.payload, moves(sink), most=depth)
        assert_output(m, "output", items, sink, items.saved, delay=DELAY)
        takes(m, items, source, depth)

    return claims


def claim_fork(m: Module, block: Any, mark: Value) -> None:
    """Each output gives what came; beats are taken while every output has fewer than 2."""
    source = block.input
    assume_steady(m, source, "input")
    full = Signal()
    for i, sink in enumerate(block.outputs):
        items = Tracker(m, f"output_{i}", mark, moves(source), source.payload, moves(sink), most=4)
        assert_output(m, f"output_{i}", items, sink, items.saved, delay=DELAY)
        with m.If(items.level >= 2):
            m.d.comb += full.eq(1)
    within(m, ~full & source.valid & ~source.ready, DELAY, "takes 2 items while none leaves")


def claim_join(m: Module, block: Any, mark: Value) -> None:
    """Beats leave in pairs."""
    half = len(Value.cast(block.output.payload)) // 2
    for i, source in enumerate(block.inputs):
        assume_steady(m, source, f"input_{i}")
        items = Tracker(m, f"input_{i}", mark, moves(source), source.payload, moves(block.output), most=4)
        seen = Handshake(block.output.valid, block.output.ready, Value.cast(block.output.payload).word_select(i, half))
        assert_output(m, f"input_{i}", items, seen, items.saved, delay=DELAY)
    both = block.inputs[0].valid & block.inputs[1].valid
    within(m, both & (items.level < 2) & ~block.inputs[0].ready, DELAY, "takes 2 pairs while none leaves")


def parts(m: Module, ratio: int, beats: int, step: Value) -> tuple[Value, Value]:
    """The place of a beat in its word, and whether it is the word's last."""
    part, beat = Signal(range(ratio)), Signal(range(beats))
    last = (part == ratio - 1) | (beat == beats - 1)
    with m.If(step):
        m.d.sync += [part.eq(Mux(last, 0, part + 1)), beat.eq(Mux(beat == beats - 1, 0, beat + 1))]
    return part, last


def claim_pack(m: Module, block: Any, mark: Value) -> None:
    """Words leave that consist of the beats, filled up with zeros at the end of a row."""
    source, sink, block = block.input, block.output, getattr(block, "block", block)
    assume_steady(m, source, "input")
    part, last = parts(m, block.ratio, block.beats, moves(source))
    words = []
    for row in range(block.rows):
        now = Value.cast(source.payload[row])
        before = Signal(len(now) * block.ratio)
        word = before | (now << (part * len(now)))[: len(before)]
        with m.If(moves(source)):
            m.d.sync += before.eq(Mux(last, 0, word))
        words.append(word[: len(before)])
    items = Tracker(m, "words", mark, moves(source) & last, Cat(words), moves(sink), most=4)
    assert_output(m, "words", items, sink, items.saved, delay=DELAY)
    takes(m, items, source, 1)


def claim_unpack(m: Module, block: Any, mark: Value) -> None:
    """Words leave in parts. As a part may leave before the word is taken, a word counts from when it is offered."""
    source, sink, block = block.input, block.output, getattr(block, "block", block)
    assume_steady(m, source, "input")
    offered = Signal()
    m.d.sync += offered.eq(source.valid & ~source.ready)
    part, last = parts(m, block.ratio, block.beats, moves(sink))
    put = source.valid & ~offered
    items = Tracker(m, "parts", mark, put, source.payload, moves(sink) & last, most=6)
    wide = len(items.saved) // block.rows
    rows = [items.saved.word_select(row, wide) for row in range(block.rows)]
    content = Cat(row.word_select(part, wide // block.ratio) for row in rows)
    assert_output(m, "parts", items, sink, content, delay=DELAY)
    within(m, (items.level == 1) & source.valid & ~source.ready & moves(sink), DELAY, "takes a word as it leaves")


BLOCKS: dict[str, tuple[Callable[[], Any], Claims]] = {
    "buffer of 2": (lambda: StreamBuffer(unsigned(1)), claim_fifo(2)),
    "buffer of 3": (lambda: StreamBuffer(unsigned(1), 3), claim_fifo(3)),
    "pipeline": (Pipeline, claim_fifo(4)),
    "fork": (lambda: Fork(unsigned(1), 2), claim_fork),
    "join": (Joined, claim_join),
    "pack": (lambda: Pack(2, 1, 2, unsigned(1), beats=3), claim_pack),
    "unpack": (lambda: Unpack(2, 1, 2, unsigned(1), beats=3), claim_unpack),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_keeps_its_promise(name: str) -> None:
    make, claims = BLOCKS[name]
    prove(Contract(make(), claims))


FOUND = [("buffer of 2", fault) for fault in FAULTS] + [
    *[("buffer of 3", "doubles"), ("pipeline", "loses"), ("fork", "loses"), ("fork", "waits"), ("join", "alters")],
    *[("pack", "loses"), ("pack", "alters"), ("unpack", "doubles"), ("unpack", "waits")],
]


@pytest.mark.parametrize(("name", "fault"), FOUND)
def test_a_fault_is_found(name: str, fault: str) -> None:
    make, claims = BLOCKS[name]
    with pytest.raises(Refuted):
        prove(Contract(Faulty(make(), "outputs" if name == "fork" else "output", fault), claims))
