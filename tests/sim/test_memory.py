"""Memory channels: every cycle as computed by hand, and the same in both simulators."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.perf.device import load_device
from hdl.stream import Fork, StreamBuffer, connect
from sim.memory import MemoryChannel, MemoryFault, MemoryTiming
from sim.streams import Deadlock, MemoryUse, ProtocolError, StreamPort, stream_ports
from sim.verilator import build
from tests.harness import emit_verilog, run_streams

REQUEST = data.StructLayout({"address": unsigned(32), "beats": unsigned(9)})
SIMULATORS = ["amaranth", "verilator"]
U280 = MemoryTiming(rate=Fraction(575, 768), latency=33, activation=5, refresh=78, refresh_interval=1170)
HARD = MemoryTiming(
    rate=Fraction(3, 4), latency=6, activation=3, refresh=9, refresh_interval=50, outstanding=3, late=20, seed=5
)


class Wires(wiring.Component):
    """Nothing but wires from a memory to the outside, so that every handshake is seen: what is asked for, what comes,
    where to write, and what."""

    m_requests: Out(stream.Signature(REQUEST))
    m_data: In(stream.Signature(512))
    m_writes: Out(stream.Signature(REQUEST))
    m_written: Out(stream.Signature(512))
    ask: In(stream.Signature(REQUEST))
    out: Out(stream.Signature(512))
    place: In(stream.Signature(REQUEST))
    beat: In(stream.Signature(512))

    def elaborate(self, platform):
        m = Module()
        connect(m, self.ask, self.m_requests)
        connect(m, self.m_data, self.out)
        connect(m, self.place, self.m_writes)
        connect(m, self.beat, self.m_written)
        return m


class Copier(wiring.Component):
    """Copies segments from one memory to the same places of another."""

    orders: In(stream.Signature(REQUEST))
    source_requests: Out(stream.Signature(REQUEST))
    source_data: In(stream.Signature(512))
    target_writes: Out(stream.Signature(REQUEST))
    target_written: Out(stream.Signature(512))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = Fork(REQUEST, 2)
        m.submodules.fifo = fifo = StreamBuffer(512, 4)
        connect(m, self.orders, fork.input)
        connect(m, fork.outputs[0], self.source_requests)
        connect(m, fork.outputs[1], self.target_writes)
        connect(m, self.source_data, fifo.input)
        connect(m, fifo.output, self.target_written)
        return m


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


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    ("timing", "segments", "asked", "came", "use"),
    [
        (MemoryTiming(), [(7, 3)], [0], [1, 2, 3], MemoryUse(192, 0, 0, 3, 0, 0, 1)),
        (MemoryTiming(), [(44, 256)], [0], [*range(1, 257)], MemoryUse(16384, 0, 0, 256, 0, 0, 1)),
        (MemoryTiming(latency=5), [(7, 2), (0, 1)], [0, 1], [5, 6, 7], MemoryUse(192, 0, 0, 3, 0, 4, 1)),
        # Three of four cycles, and no more saved up while it was idle.
        (
            *(MemoryTiming(rate=Fraction(3, 4)), [(0, 8)], [0], [1, 2, 3, 5, 6, 7, 9, 10]),
            MemoryUse(512, 0, 0, 8, 0, 2, 1),
        ),
        # The second burst goes on where the first ended: its row is open.
        (
            *(MemoryTiming(activation=3), [(10, 2), (12, 1), (0, 1)], [0, 1, 2], [4, 5, 6, 10]),
            MemoryUse(256, 0, 0, 4, 0, 6, 1),
        ),
        # Busy with itself in the cycles 7, 8 and 9.
        (
            *(MemoryTiming(refresh=3, refresh_interval=10), [(0, 12)], [0], [*range(1, 7), *range(10, 16)]),
            MemoryUse(768, 0, 3, 12, 0, 0, 1),
        ),
        # The third request is taken when the first has left the queue with its second beat.
        (
            *(MemoryTiming(latency=4, outstanding=2), [(0, 2)] * 4, [0, 1, 6, 8], [4, 5, 6, 7, 10, 11, 12, 13]),
            MemoryUse(512, 0, 0, 8, 0, 5, 1),
        ),
    ],
    ids=["ideal", "long", "latency", "rate", "rows", "refresh", "outstanding"],
)
def test_reading_by_hand(simulator, timing, segments, asked, came, use):
    result = read(simulator, timing, *segments)
    assert result.accepted["ask"].tolist() == asked
    assert result.accepted["out"].tolist() == came
    assert result.memory == {"m": use}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_writing_by_hand(simulator):
    held, new = contents(10), contents(3, seed=2)
    inputs = {"place": requests((4, 2), (9, 1)), "beat": numbers(new)}
    memory = MemoryChannel("m", held, timing=MemoryTiming(activation=2, refresh=1, refresh_interval=5))
    result = run_streams(Wires(), inputs, {}, memories=[memory], simulator=simulator)
    # A row opens in the cycles 1 and 2, another in 6 and 7; a refresh is in 4.
    assert result.accepted["place"].tolist() == [0, 1]
    assert result.accepted["beat"].tolist() == [3, 5, 8]
    assert result.memory == {"m": MemoryUse(0, 192, 1, 3, 0, 4, 1)}
    assert (held[[4, 5, 9]] == new).all()
    assert (np.delete(held, [4, 5, 9], axis=0) == np.delete(contents(10), [4, 5, 9], axis=0)).all()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_reading_and_writing_take_turns(simulator):
    held, new = contents(8), contents(4, seed=2)
    inputs = {"ask": requests((0, 4)), "place": requests((2, 4)), "beat": numbers(new)}
    result = run_streams(Wires(), inputs, {"out": 4}, memories=[MemoryChannel("m", held)], simulator=simulator)
    # The first beat to be written has waited since cycle 0, where there was no request yet.
    assert result.accepted["beat"].tolist() == [1, 3, 5, 7]
    assert result.accepted["out"].tolist() == [2, 4, 6, 8]
    # Beats 2 and 3 were written in the cycles 1 and 3, before they were read.
    assert result.outputs["out"] == [*numbers(contents(8)[:2]), *numbers(new[:2])]
    assert result.memory == {"m": MemoryUse(256, 256, 0, 8, 0, 0, 1)}


SEGMENTS = [(5, 12), (17, 3), (250, 50), (0, 1), (1, 1), (2, 40), (299, 1), (100, 100)]


@pytest.mark.parametrize("gaps", [None, 3, 4])
@pytest.mark.parametrize("timing", [MemoryTiming(), U280, HARD], ids=["ideal", "u280", "hard"])
def test_both_simulators_agree_to_the_cycle(timing, gaps):
    one, other = (read(simulator, timing, *SEGMENTS, gaps=gaps) for simulator in SIMULATORS)
    assert one.memory == other.memory
    assert one.cycles == other.cycles
    for port in ("ask", "out"):
        assert (one.accepted[port] == other.accepted[port]).all()


@pytest.mark.parametrize("gaps", [None, 1, 2])
@pytest.mark.parametrize("timing", [MemoryTiming(), HARD], ids=["ideal", "hard"])
def test_copying_from_memory_to_memory(timing, gaps):
    uses = []
    for simulator in SIMULATORS:
        source, target = contents(300), np.zeros((300, 64), np.uint8)
        memories = [MemoryChannel("source", source, timing=timing), MemoryChannel("target", target, timing=timing)]
        # A run ends when its last order is taken: by then, those before it that find room nowhere are done.
        inputs = {"orders": requests(*SEGMENTS, *[(290, 1)] * 60)}
        result = run_streams(Copier(), inputs, {}, memories=memories, simulator=simulator, gaps=gaps)
        copied = np.concatenate([np.arange(address, address + beats) for address, beats in SEGMENTS])
        assert (target[copied] == source[copied]).all()
        assert not target[np.setdiff1d(np.arange(300), [*copied, 290])].any()
        uses.append((result.cycles, result.memory))
    assert uses[0] == uses[1]


@pytest.mark.parametrize("seed", range(4))
def test_late_answers_and_pauses_come_by_seed(seed):
    timing = MemoryTiming(latency=4, late=30, seed=seed)
    apart = [read("verilator", timing, (seed, 1)).latency("ask", "out") for seed in range(3)]
    assert all(cycles >= 4 for cycles in apart)
    again, many = (read("verilator", timing, *SEGMENTS) for _ in range(2))
    assert many.cycles == again.cycles
    assert many.memory["m"].waiting > read("verilator", MemoryTiming(latency=4), *SEGMENTS).memory["m"].waiting


def test_seeds_differ():
    assert len({read("verilator", MemoryTiming(late=30, seed=seed), *SEGMENTS).cycles for seed in range(8)}) > 4


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_reset_in_the_middle(simulator):
    fresh = read(simulator, HARD, *SEGMENTS)
    again = read(simulator, HARD, *SEGMENTS, reset_at=70)
    assert (fresh.accepted["out"] == again.accepted["out"]).all()
    assert fresh.memory["m"] == again.memory["m"]


@pytest.fixture(scope="module")
def wires():
    ports = [port for port, _ in stream_ports(Wires()).values()]
    return build(emit_verilog(Wires()), "top", ports, optimise="-O0")


def raw(*segments):
    """Requests as beats of a port."""
    return np.array([[address, beats] for address, beats in segments], np.uint32)


def test_a_channel_lives_on_from_run_to_run(wires):
    held = contents(20)
    with wires.start([MemoryChannel("m", held)]) as simulation:
        assert simulation.run({"ask": raw((3, 3))}, {}).memory == {"m": MemoryUse(idle=1)}
        # What was asked for in one run comes in the next, and nobody took it in between.
        result = simulation.run({"ask": raw(*[(9, 1)] * 5)}, {})
        assert result.memory == {"m": MemoryUse(refused=5)}
        result = simulation.run({}, {"out": 8})
        assert result.accepted["out"].tolist() == [*range(8)]
        assert (result.outputs["out"].view(np.uint8) == held[[3, 4, 5, 9, 9, 9, 9, 9]]).all()
        # What the host writes is what the design reads.
        held[7] = 0xAB
        assert (simulation.run({"ask": raw((7, 1))}, {"out": 1}).outputs["out"] == 0xABABABAB).all()
        # A reset forgets what was asked for.
        simulation.run({"ask": raw((0, 9))}, {})
        simulation.reset()
        result = simulation.run({"ask": raw((15, 1))}, {"out": 1})
        assert (result.outputs["out"].view(np.uint8) == held[15]).all()


def test_streaming_is_as_fast_as_measured_on_the_u280(wires):
    """Shuhai measured 425 GB/s over the 32 pseudo-channels; bandwidth and refresh alone give that within 2 %."""
    device = load_device("u280")
    timing = MemoryTiming.of(device.memory, device.clock_mhz)
    assert timing == U280
    bursts = [(256 * i, 256) for i in range(200)]
    held = np.zeros((256 * 200, 64), np.uint8)
    result = wires.run({"ask": raw(*bursts)}, {"out": len(held)}, memories=[MemoryChannel("m", held, timing=timing)])
    seconds = result.cycles / (device.clock_mhz * 1e6)
    assert 32 * held.nbytes / seconds / 1e9 == pytest.approx(425, rel=0.02)


def test_a_port_is_no_faster_than_its_stream():
    ddr4 = load_device("u280").memories[1].model_copy(update={"timing": load_device("u280").memory.timing})
    assert MemoryTiming.of(ddr4, 300).rate == 1
    assert MemoryTiming.of(ddr4, 200).rate == 1
    assert MemoryTiming.of(ddr4, 400).rate == Fraction(3, 4)
    with pytest.raises(ValueError, match="^memory DDR4 must have a timing; its device's file has none$"):
        MemoryTiming.of(load_device("u280").memories[1], 300)


def test_channels_refresh_one_after_the_other():
    timing = MemoryTiming(refresh=2, refresh_interval=10)
    memories = [MemoryChannel(name, contents(64), timing=timing) for name in ("source", "target")]
    # The first refreshes in the cycles 8 and 9, the second, half an interval ahead, in 3 and 4.
    for orders, refreshed in ((7, [0, 2]), (9, [1, 2]), (14, [2, 3])):
        result = run_streams(Copier(), {"orders": requests(*[(0, 1)] * orders)}, {}, memories=memories)
        assert result.cycles == orders
        assert [use.refresh for use in result.memory.values()] == refreshed


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
