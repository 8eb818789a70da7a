"""Designs that ask memories for their data, and runs of them, for the tests of memory channels."""

import numpy as np
from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.channel import Written
from hdl.stream import Fork, StreamBuffer, connect
from sim.memory import MemoryChannel
from tests.harness import run_streams

REQUEST = data.StructLayout({"address": unsigned(32), "beats": unsigned(9)})
SIMULATORS = ["amaranth", "verilator"]


class Wires(wiring.Component):
    """Nothing but wires from a memory to the outside, so that every handshake is seen: what is asked for, what comes,
    where to write, and what."""

    m_requests: Out(stream.Signature(REQUEST))
    m_data: In(stream.Signature(512))
    m_writes: Out(stream.Signature(REQUEST))
    m_written: Out(stream.Signature(Written))
    ask: In(stream.Signature(REQUEST))
    out: Out(stream.Signature(512))
    place: In(stream.Signature(REQUEST))
    beat: In(stream.Signature(512))

    def elaborate(self, platform):
        m = Module()
        connect(m, self.ask, self.m_requests)
        connect(m, self.m_data, self.out)
        connect(m, self.place, self.m_writes)
        write_whole(m, self.beat, self.m_written)
        return m


def write_whole(m, beats, written):
    """Writes all bytes of ``beats``."""
    m.d.comb += [written.valid.eq(beats.valid), beats.ready.eq(written.ready)]
    m.d.comb += [written.payload.data.eq(beats.payload), written.payload.strobes.eq(Cat(1).replicate(64))]


class Answered(wiring.Component):
    """A memory whose writes are answered, bare."""

    m_requests: Out(stream.Signature(REQUEST))
    m_data: In(stream.Signature(512))
    m_writes: Out(stream.Signature(REQUEST))
    m_written: Out(stream.Signature(Written))
    m_acknowledged: In(stream.Signature(1))
    ask: In(stream.Signature(REQUEST))
    out: Out(stream.Signature(512))
    place: In(stream.Signature(REQUEST))
    beat: In(stream.Signature(Written))
    answer: Out(stream.Signature(1))

    def elaborate(self, platform):
        m = Module()
        connect(m, self.ask, self.m_requests)
        connect(m, self.m_data, self.out)
        connect(m, self.place, self.m_writes)
        connect(m, self.beat, self.m_written)
        connect(m, self.m_acknowledged, self.answer)
        return m


class Copier(wiring.Component):
    """Copies segments from one memory to the same places of another."""

    orders: In(stream.Signature(REQUEST))
    source_requests: Out(stream.Signature(REQUEST))
    source_data: In(stream.Signature(512))
    target_writes: Out(stream.Signature(REQUEST))
    target_written: Out(stream.Signature(Written))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = Fork(REQUEST, 2)
        m.submodules.fifo = fifo = StreamBuffer(512, 4)
        connect(m, self.orders, fork.input)
        connect(m, fork.outputs[0], self.source_requests)
        connect(m, fork.outputs[1], self.target_writes)
        connect(m, self.source_data, fifo.input)
        write_whole(m, fifo.output, self.target_written)
        return m


def contents(beats, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (beats, 64), dtype=np.uint8)


def numbers(beats):
    """Rows of 64 bytes as payloads of 512 bits."""
    return [int.from_bytes(row.tobytes(), "little") for row in beats]


def requests(*segments):
    return {"address": [address for address, _ in segments], "beats": [beats for _, beats in segments]}


def rows(array, *segments):
    return [row for address, beats in segments for row in numbers(array[address : address + beats])]


def read(simulator, timing, *segments, **options):
    """What came of reading some segments of a memory of 300 beats."""
    held = contents(300)
    inputs, outputs = {"ask": requests(*segments)}, {"out": sum(beats for _, beats in segments)}
    memory = MemoryChannel("m", held, timing=timing)
    result = run_streams(Wires(), inputs, outputs, memories=[memory], simulator=simulator, **options)
    assert result.outputs["out"] == rows(held, *segments)
    use = result.memory["m"]
    assert use.read == 64 * outputs["out"]
    assert use.refresh + use.busy + use.refused + use.waiting + use.idle == result.cycles
    return result
