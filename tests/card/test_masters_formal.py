"""The AXI masters, proven for all inputs and any number of cycles (see `tests.contracts`), in small sizes."""

from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hdl.card.axi import MasterSpec
from hdl.card.masters import ReadMaster, WriteMaster
from sim.formal import Refuted, prove

from ..contracts import (
    Contract,
    Faulty,
    Handshake,
    Tracker,
    assert_output,
    assert_steady,
    assume_steady,
    moves,
    through,
    within,
)

DELAY = 8
"""The most cycles that a master may take for what it owes. The masters take fewer."""

SPEC = MasterSpec(beat_bytes=1, address_bits=4, index_bits=3, max_beats=3, page_beats=4, outstanding=2)
MARK = 1 + SPEC.max_beats.bit_length()


def assume_requests(m: Module, block: Any, requests: Any) -> None:
    """The design asks for at least a beat, holds its request, and does not move the base."""
    request, base, started = requests.payload, Signal.like(block.base), Signal()
    assume_steady(m, requests, "requests")
    m.d.sync += [base.eq(block.base), started.eq(1)]
    m.d.comb += [
        Assume(~started | (base == block.base), "the base is steady"),
        Assume((request.beats >= 1) & (request.beats <= SPEC.max_beats), "the beats of a request"),
    ]


def bursts_of(block: Any, prefix: str) -> Handshake:
    """An address channel of a master."""
    axi = block.axi
    payload = Cat(getattr(axi, f"{prefix}len"), getattr(axi, f"{prefix}addr"))
    return Handshake(getattr(axi, f"{prefix}valid"), getattr(axi, f"{prefix}ready"), payload)


def claim_rules(m: Module, block: Any, prefix: str, answered: Value) -> None:
    """A burst is held until it is taken, crosses no page's end, and is one of those that may have no answer yet."""
    port = bursts_of(block, prefix)
    length, place = port.payload[:8], port.payload[8 : 8 + SPEC.page_bits]
    assert_steady(m, port, "bursts")
    count = Signal(range(SPEC.outstanding + 2))
    m.d.sync += count.eq(count + moves(port) - answered)
    m.d.comb += [
        Assume(~answered | (count != 0), "only what was asked for is answered"),
        Assert(count <= SPEC.outstanding, "bursts: not too many without an answer"),
        Assert(~port.valid | (place + length < SPEC.page_beats), "bursts: within a page"),
    ]


def claim_places(m: Module, block: Any, mark: Value, requests: Any, prefix: str, answered: Value) -> None:
    """Bursts have every beat of every request once, in its turn and at its address.

    Of a marked request, beat ``offset`` is followed: as it is any one, this holds for all.
    """
    request, offset, port = requests.payload, mark[1:], bursts_of(block, prefix)
    length, address = port.payload[:8], port.payload[8:]
    count = Signal(range(SPEC.outstanding + 2))
    m.d.sync += count.eq(count + moves(port) - answered)
    m.d.comb += Assume(~answered | (count != 0), "only what was asked for is answered")
    where = (block.base + request.address + offset)[: SPEC.address_bits]
    put, leaves = Mux(moves(requests), request.beats, 0), Mux(moves(port), length + 1, 0)
    beats = Tracker(m, "beats", mark[0], put, where, leaves, most=8 * SPEC.max_beats, offset=offset)
    inside = beats.found & (beats.ahead <= length)
    found = (address + beats.ahead)[: SPEC.address_bits] == beats.saved
    m.d.comb += [
        Assert(~port.valid | (beats.level > length), "beats: none is made up"),
        Assert(~(port.valid & inside) | found, "beats: each in its turn, at its address"),
    ]
    due = (beats.level != 0) & (count < SPEC.outstanding) & ~port.valid
    within(m, due, DELAY, "beats: they are asked for, whether the memory is ready or not")
    within(m, (beats.level == 0) & ~requests.ready, DELAY, "a request is taken")


def claim_status(m: Module, block: Any, response: Value, taken: Value) -> None:
    """Every error of a response that was taken is kept, and no other one is shown."""
    for name, code in (("slave_error", 2), ("decode_error", 3)):
        seen, waited = Signal(name=f"seen_{name}"), Signal(range(DELAY + 1), name=f"waited_{name}")
        with m.If(taken & (response == code)):
            m.d.sync += seen.eq(1)
        shown = getattr(block.status, name)
        m.d.sync += waited.eq(Mux(seen & ~shown, waited + 1, 0))
        m.d.comb += Assert(~shown | seen, f"status: {name} was a response")


def read_answers(block: Any) -> Handshake:
    """The answers to a reader."""
    return Handshake(block.axi.rvalid, block.axi.rready, Cat(block.axi.rdata, block.axi.rresp, block.axi.rlast))


def claim_reads(m: Module, block: Any, mark: Value) -> None:
    """Bursts by the rules; data arrives unchanged and in order."""
    axi, answers = block.axi, read_answers(block)
    assume_requests(m, block, block.requests)
    assume_steady(m, answers, "answers")
    claim_rules(m, block, "ar", moves(answers) & axi.rlast)
    items = Tracker(m, "data", mark[0], moves(answers), axi.rdata, moves(block.data), most=2)
    assert_output(m, "data", items, block.data, items.saved, delay=DELAY)
    within(m, (items.level == 0) & axi.rvalid & ~axi.rready, DELAY, "an answer is taken")
    claim_status(m, block, axi.rresp, moves(answers))


def claim_read_places(m: Module, block: Any, mark: Value) -> None:
    """The bursts of a reader are those of its requests."""
    assume_requests(m, block, block.requests)
    claim_places(m, block, mark, block.requests, "ar", moves(read_answers(block)) & block.axi.rlast)


def claim_writes(m: Module, block: Any, mark: Value) -> None:
    """Bursts by the rules; data leaves unchanged and in order."""
    axi = block.axi
    answers = Handshake(axi.bvalid, axi.bready, axi.bresp)
    sent = Handshake(axi.wvalid, axi.wready, Cat(axi.wdata, axi.wstrb, axi.wlast))
    assume_requests(m, block, block.writes)
    assume_steady(m, answers, "answers")
    assume_steady(m, block.written, "written")
    claim_rules(m, block, "aw", moves(answers))
    assert_steady(m, sent, "sent")
    assert_steady(m, block.acknowledged, "acknowledged")
    content = Value.cast(block.written.payload)
    items = Tracker(m, "data", mark[0], moves(block.written), content, moves(sent), most=4)
    turn = items.found & (items.ahead == 0)
    m.d.comb += [
        Assert(~axi.wvalid | (items.level != 0), "data: nothing is made up"),
        Assert(~(axi.wvalid & turn) | (Cat(axi.wdata, axi.wstrb) == items.saved), "data: unchanged and in order"),
    ]
    claim_status(m, block, axi.bresp, moves(answers))


def claim_write_places(m: Module, block: Any, mark: Value) -> None:
    """The bursts of a writer are those of its requests."""
    assume_requests(m, block, block.writes)
    claim_places(m, block, mark, block.writes, "aw", block.axi.bvalid & block.axi.bready)


MASTERS = {"reader": (ReadMaster, claim_reads), "writer": (WriteMaster, claim_writes)}
PLACES = {"reader": (ReadMaster, claim_read_places, 7), "writer": (WriteMaster, claim_write_places, 8)}


@pytest.mark.parametrize("name", MASTERS)
def test_a_master_keeps_the_rules(name: str) -> None:
    master, claims = MASTERS[name]
    prove(Contract(master(SPEC), claims))


@pytest.mark.parametrize("name", PLACES)
def test_the_first_bursts_have_the_beats_of_the_requests(name: str) -> None:
    master, claims, cycles = PLACES[name]
    prove(Contract(master(SPEC), claims, mark_bits=MARK), cycles=cycles, bounded=True)


@pytest.mark.parametrize("name", MASTERS)
@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"page_beats": 8}, "bursts: within a page"),
        ({"outstanding": 3}, "bursts: not too many without an answer"),
    ],
)
def test_a_master_that_breaks_a_rule_is_found(name: str, change: dict[str, int], claim: str) -> None:
    master, claims = MASTERS[name]
    with pytest.raises(Refuted) as error:
        prove(Contract(master(replace(SPEC, **change)), claims))
    assert error.value.claims == [claim]


@pytest.mark.parametrize("fault", ["changes", "loses", "doubles", "alters"])
def test_a_fault_of_the_data_is_found(fault: str) -> None:
    with pytest.raises(Refuted):
        prove(Contract(Faulty(ReadMaster(SPEC), "data", fault), claim_reads))


class Moved(wiring.Component):
    """A reader that reads at other addresses: its base is one beat too far."""

    def __init__(self) -> None:
        self.reader = ReadMaster(SPEC)
        super().__init__(self.reader.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = self.reader
        for name in self.signature.members:
            if name != "base":
                through(m, self.reader, name, getattr(self, name))
        m.d.comb += self.reader.base.eq(self.base + 1)
        return m


def test_a_wrong_address_is_found() -> None:
    with pytest.raises(Refuted) as error:
        prove(Contract(Moved(), claim_read_places, mark_bits=MARK), bounded=True)
    assert error.value.claims == ["beats: each in its turn, at its address"]
