"""The promises of the memories, proven for all inputs and any number of cycles (see `tests.contracts`).

A replay buffer is proven as a FIFO. Its control and its RAM are proven on their own, with several readings.
"""

from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl import ram
from hdl.delay_registers import delay
from hdl.memory import ReplayBuffer, ReplayControl, ReplaySpec
from hdl.ram import Ram
from hdl.stream import connect
from sim.formal import Refuted, prove

from .contracts import FAULTS, Contract, Faulty, Tracker, assert_output, assert_steady, assume_steady, moves, within

DELAY = 4
"""The most cycles that a block may take for what it owes. The blocks take fewer."""

EARLY = 4
"""The most orders that a block may have taken and not finished. The blocks have taken fewer."""


class Readings:
    """What the orders of a replay control let leave: word ``index`` of those since the first of the present order.

    Orders that the block has taken wait in a queue. If there are none, the order on offer is the present one: it may
    be taken as late as with its last word.
    """

    def __init__(self, m: Module, port: Any, step: Value):
        payload = Value.cast(port.payload)
        taken = [Signal(len(payload), name=f"order_{i}") for i in range(EARLY)]
        count = Signal(range(EARLY + 2))
        order = Signal.like(port.payload, name="present")
        self.known, self.length, self.index = (count != 0) | port.valid, order.length, Signal.like(order.length)
        self.ends, self.finished = self.index == order.length - 1, Signal()
        reading = Signal.like(order.repeat)
        self.final = reading == order.repeat - 1
        push = moves(port) & ~((count == 0) & self.finished)
        pop = self.finished & (count != 0)
        m.d.comb += [
            Value.cast(order).eq(Mux(count == 0, payload, taken[0])),
            self.finished.eq(step & self.ends & self.final),
            Assert(count <= EARLY, "orders are not taken too early"),
            Assert(~self.finished | (count != 0) | port.ready, "an order is taken with its last word at the latest"),
        ]
        with m.If(step):
            m.d.sync += self.index.eq(Mux(self.ends, 0, self.index + 1))
        with m.If(step & self.ends):
            m.d.sync += reading.eq(Mux(self.final, 0, reading + 1))
        m.d.sync += count.eq(count + push - pop)
        for i, each in enumerate(taken):
            following = taken[i + 1] if i + 1 < EARLY else payload
            with m.If(push & (count - pop == i)):
                m.d.sync += each.eq(payload)
            with m.Elif(pop):
                m.d.sync += each.eq(following)


def assume_orders(m: Module, port: Any, longest: int, most: int, once: int) -> None:
    """Orders of 1 to ``longest`` words and 1 to ``most`` readings; those of more than ``once`` words are read once."""
    order = port.payload
    assume_steady(m, port, "order")
    m.d.comb += [
        Assume((order.length >= 1) & (order.length <= longest), "the length of an order"),
        Assume((order.repeat >= 1) & (order.repeat <= most), "the readings of an order"),
        Assume((order.length <= once) | (order.repeat == 1), "long orders are read once"),
    ]


def claim_fifo(m: Module, block: Any, mark: Value) -> None:
    """Words leave once, unchanged and in order."""
    source, sink = block.input, block.output
    assume_steady(m, source, "input")
    words = Tracker(m, "words", mark, moves(source), source.payload, moves(sink), most=8)
    assert_output(m, "words", words, sink, words.saved, delay=DELAY + 2)
    within(m, (words.level < 2) & source.valid & ~source.ready, DELAY + 2, "takes 2 words while none leaves")


def claim_control(m: Module, block: Any, mark: Value) -> None:
    """The address of a word that is read is where it was written; it is free from ``hold`` cycles after on."""
    control = getattr(block, "block", block)
    sink, depth, hold = block.addresses, control.depth, control.hold
    assume_orders(m, block.order, control.max_length, control.max_repeat, depth)
    m.d.comb += Assume(~block.written | block.room, "words are written where there is room")
    read = Readings(m, block.order, moves(sink))
    leaves = Mux(read.finished, read.length, 0)
    put = block.written
    words = Tracker(m, "words", mark, put, block.write_address, leaves, most=control.max_length + depth)
    due = read.known & (read.index < words.level)
    turn = words.found & (words.ahead == read.index)
    assert_steady(m, sink, "addresses")
    m.d.comb += [
        Assert(~sink.valid | due, "no address comes before its word"),
        Assert(~sink.valid | (sink.payload.last == read.ends), "last is at the end of each reading"),
        Assert(~(sink.valid & turn) | (sink.payload.address == words.saved), "an address is that of its word"),
    ]
    # The marked word and the cycles for which it must stay: until its last reading, and `hold` cycles more.
    gone = Signal()
    m.d.sync += gone.eq(words.found & (gone | (turn & moves(sink) & read.final)))
    kept, held = Signal(), Signal.like(words.saved)
    m.d.sync += [kept.eq(words.found & ~gone), held.eq(words.saved)]
    stays = Cat(words.found & ~gone, *(delay(m, "kept", kept, i, control=True) for i in range(hold)))
    where = Mux(words.found, words.saved, held)
    m.d.comb += Assert(~(put & stays.any() & (block.write_address == where)), "no word is overwritten too early")
    within(m, due & ~sink.valid, DELAY, "an address comes, whether it is waited for or not")
    within(m, (words.level < depth) & ~block.room, DELAY + hold, "there is room for as many words as the ring has")


def claim_ram(m: Module, block: Any, mark: Value) -> None:
    """A read gives what was written last before it; it is enough to follow the word at one address."""
    spec = getattr(block, "block", block).spec
    lanes = spec.width // spec.granularity
    address, known = Signal.like(block.write_address), Signal()
    written, content = Signal(lanes), Signal(spec.width)  # the groups that were written, and with what
    enable = Value.cast(block.write_enable)
    with m.If(mark & ~known):
        m.d.sync += [known.eq(1), address.eq(block.write_address)]
    here = known & (block.write_address == address)
    for lane in range(lanes):
        with m.If(here & enable[lane]):
            m.d.sync += written[lane].eq(1)
            m.d.sync += content.word_select(lane, spec.granularity).eq(
                block.write_data.word_select(lane, spec.granularity)
            )
    m.d.comb += Assume((block.write_address < spec.depth) & (block.read_address < spec.depth), "addresses are inside")
    read = written & (known & (block.read_address == address)).replicate(lanes)
    due = delay(m, "due", read, spec.latency, control=True)
    wanted = delay(m, "wanted", content, spec.latency)
    for lane in range(lanes):
        found = block.read_data.word_select(lane, spec.granularity) == wanted.word_select(lane, spec.granularity)
        m.d.comb += Assert(~due[lane] | found, "a read gives what was written last")


class Fifo(wiring.Component):
    """A replay buffer that reads each word once."""

    input: In(stream.Signature(unsigned(1)))
    output: Out(stream.Signature(unsigned(1)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.replay = replay = ReplayBuffer(unsigned(1), ReplaySpec(1, 2, "block", 1))
        replay.read_once(m)
        connect(m, self.input, replay.input)
        connect(m, replay.output, self.output)
        return m


CONTROLS = {
    "control of 2, held": lambda: ReplayControl(2, 2, hold=2),
    "control of 2, long orders": lambda: ReplayControl(2, 2, max_length=3),
}
RAMS = {
    "one RAM": lambda: Ram(1, 3, "distributed"),
    "groups": lambda: Ram(2, 2, "distributed", 1),
    "two RAMs": lambda: Ram(1, 5, "distributed"),
}


@pytest.fixture
def small_rams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ram.BLOCK_DEPTH, "distributed", 4)


def test_a_fifo_keeps_its_promise() -> None:
    prove(Contract(Fifo(), claim_fifo))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_keeps_its_promise(name: str) -> None:
    prove(Contract(CONTROLS[name](), claim_control))


@pytest.mark.parametrize("name", RAMS)
def test_a_ram_keeps_its_promise(name: str, small_rams: None) -> None:
    prove(Contract(RAMS[name](), claim_ram))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_fifo_is_found(fault: str) -> None:
    with pytest.raises(Refuted):
        prove(Contract(Faulty(Fifo(), "output", fault), claim_fifo))


def test_a_fault_of_a_control_is_found() -> None:
    with pytest.raises(Refuted) as error:
        prove(Contract(Faulty(ReplayControl(2, 2), "addresses", "waits"), claim_control))
    assert error.value.claims == ["an address comes, whether it is waited for or not"]
