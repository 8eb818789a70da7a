"""What memory channels refuse, and what they do not take for an error."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.perf.memory_timing import MemoryTiming
from sim.memory import MemoryChannel, MemoryFault
from sim.streams import Deadlock, ProtocolError, StreamPort
from tests.harness import run_streams
from tests.sim.memories import REQUEST, SIMULATORS, Wires, contents, read, requests


class Restless(wiring.Component):
    """Withdraws every request in the cycle after it, taken or not; never takes what it is given."""

    x: In(stream.Signature(1))
    m_requests: Out(stream.Signature(REQUEST))
    m_data: In(stream.Signature(512))

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.m_requests.valid.eq(~self.m_requests.valid)
        m.d.comb += self.m_requests.payload.beats.eq(1)
        return m


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    ("port", "address", "beats"), [("ask", 9, 2), ("ask", 0, 0), ("ask", 0, 257), ("place", (1 << 32) - 1, 1)]
)
def test_a_request_beyond_the_contents(simulator, port, address, beats):
    memory = MemoryChannel("m", contents(10 if beats < 257 else 300))
    with pytest.raises(MemoryFault) as error:
        run_streams(Wires(), {port: requests((0, 1), (address, beats))}, {}, memories=[memory], simulator=simulator)
    assert str(error.value) == (
        f"a request to memory m must be for 1 to 256 beats and end within its {len(memory.contents)}, "
        f"not for {beats} from address {address}, at cycle 1"
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_deadlock_tells_of_memories(simulator):
    inputs = {"ask": requests((0, 3), (3, 4)), "place": requests((0, 2)), "beat": [1]}
    with pytest.raises(Deadlock) as error:
        run_streams(
            *(Wires(), inputs, {"out": 8}), memories=[MemoryChannel("m", contents(9))], simulator=simulator, timeout=30
        )
    assert str(error.value) == (
        "no handshake for 30 cycles, at cycle 39: output out gave 7 of 8 beats; memory m was not given 1 beats to write"
    )
    memory = MemoryChannel("m", contents(9), timing=MemoryTiming(outstanding=1))
    with pytest.raises(Deadlock, match="^no handshake for 30 cycles, at cycle 31: input ask has 1 of 2 beats left; "):
        run_streams(Wires(), {"ask": requests((0, 3), (3, 4))}, {}, memories=[memory], simulator=simulator, timeout=30)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_an_answer_that_takes_long_is_no_deadlock(simulator):
    result = read(
        simulator, MemoryTiming(latency=90, activation=40, refresh=70, refresh_interval=150), (0, 2), timeout=30
    )
    # Cycles 80 to 149 are a refresh; the row opens after it.
    assert result.accepted["out"].tolist() == [190, 191]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_request_that_is_withdrawn(simulator):
    memory = MemoryChannel("m", contents(9), timing=MemoryTiming(outstanding=1))
    with pytest.raises(ProtocolError) as error:
        run_streams(Restless(), {"x": [0]}, {}, memories=[memory], simulator=simulator, timeout=30)
    assert str(error.value) == "output m_requests did not hold valid and payload while waiting for ready, at cycle 4"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_ports_of_a_memory_are_its_own(simulator):
    memory = MemoryChannel("m", contents(9))
    for inputs, outputs, kind in (({"m_data": [1]}, {}, "input 'm_data'"), ({}, {"m_writes": 1}, "output 'm_writes'")):
        with pytest.raises(ValueError, match=f"^{kind} is unknown; known: "):
            run_streams(Wires(), inputs, outputs, memories=[memory], simulator=simulator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": Fraction(0)}, "memory rate must be over 0 and up to 1 beat a cycle, not 0"),
        ({"rate": Fraction(5, 4)}, "memory rate must be over 0 and up to 1 beat a cycle, not 5/4"),
        ({"latency": 0}, "memory latency must be at least 1, not 0"),
        ({"outstanding": 0}, "memory outstanding must be at least 1, not 0"),
        ({"refresh": 3}, "memory refresh must be shorter than its interval of 0, not 3"),
        ({"late": 3}, "memory that is up to 3 cycles late must have a seed"),
    ],
)
def test_wrong_timing(options, message):
    with pytest.raises(ValueError) as error:
        MemoryTiming(**options)
    assert str(error.value) == message


def test_wrong_contents():
    for array in (np.zeros((3, 64)), np.zeros((3, 32), np.uint8), np.zeros((3, 128), np.uint8)[:, ::2]):
        with pytest.raises(ValueError, match=r"^contents of memory m must be contiguous uint8 \[n, 64\], not "):
            MemoryChannel("m", array)
    fixed = contents(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="^contents of memory m must be writeable: the design writes$"):
        run_streams(Wires(), {}, {}, memories=[MemoryChannel("m", fixed)])


REQUESTS, DATA = StreamPort("m_requests__1", "out", 41), StreamPort("m_data__1", "in", 512)


def test_memories_and_ports():
    memory = MemoryChannel("m__1", contents(3))
    assert memory.ports([REQUESTS, DATA]) == {"requests": 0, "data": 1}
    for ports, message in (
        ([REQUESTS], "memory m__1 must have ports requests and data, writes and written, or all, not requests"),
        ([], "memory m__1 must have ports requests and data, writes and written, or all, not none"),
        (
            [REQUESTS, StreamPort("m_data__1", "in", 256)],
            "port m_data__1 of memory m__1 must be an input of 512 bits, not an input of 256",
        ),
    ):
        with pytest.raises(ValueError) as error:
            memory.ports(ports)
        assert str(error.value) == message
    with pytest.raises(ValueError, match="^memories must have different names, not m twice$"):
        run_streams(Wires(), {}, {}, memories=[MemoryChannel("m", contents(3))] * 2)
