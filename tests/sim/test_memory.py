"""Memory channels: every cycle as computed by hand, and the same in both simulators."""

from fractions import Fraction

import numpy as np
import pytest

from hdl.perf.device import load_device
from hdl.perf.memory_timing import MemoryTiming
from sim.amaranth_simulation import InterpretedSimulation
from sim.memory import MemoryChannel
from sim.streams import MemoryUse, stream_ports
from sim.verilator import build
from tests.harness import emit_verilog, run_streams
from tests.sim.memories import SIMULATORS, Answered, Copier, Wires, contents, numbers, read, requests

U280 = MemoryTiming(rate=Fraction(575, 768), latency=33, activation=5, refresh=78, refresh_interval=1170)
HARD = MemoryTiming(
    rate=Fraction(3, 4), latency=6, activation=3, refresh=9, refresh_interval=50, outstanding=3, late=20, seed=5
)


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


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_writes_that_are_answered_are_seen_with_the_answer(simulator):
    held, new = contents(8), contents(3, seed=2)
    strobes = [0x1, 0x8000_0000_0000_0000, 0xFF00]
    inputs = {
        "place": requests((4, 2), (2, 1)),
        "beat": {"data": numbers(new), "strobes": np.array(strobes, np.uint64)},
        "ask": requests(*[(4, 1)] * 9),
    }
    memory = MemoryChannel("m", held, timing=MemoryTiming(latency=6, outstanding=9))
    result = run_streams(Answered(), inputs, {"answer": 2, "out": 9}, memories=[memory], simulator=simulator)
    # Beats go first, once they have waited, and are answered 6 cycles after a burst's last.
    assert result.accepted["beat"].tolist() == [1, 2, 3]
    assert result.accepted["answer"].tolist() == [8, 9]
    kept = contents(8)
    for address, beat, strobe in zip((4, 5, 2), new, strobes, strict=True):
        bits = np.array([strobe >> i & 1 for i in range(64)], bool)
        kept[address, bits] = beat[bits]
    assert (held == kept).all()
    before, after = numbers(contents(8)[4:5]), numbers(kept[4:5])
    assert result.outputs["out"] == [
        *(before * sum(result.accepted["out"] <= 8)),
        *(after * sum(result.accepted["out"] > 8)),
    ]
    assert result.accepted["out"][0] <= 8 < result.accepted["out"][-1]
    assert result.memory["m"].written == 10


@pytest.mark.parametrize("gaps", [None, 6])
def test_late_answers_to_writes_are_the_same_in_both_simulators(gaps):
    runs = []
    for simulator in SIMULATORS:
        held, new = np.zeros((40, 64), np.uint8), contents(40, seed=3)
        inputs = {"place": requests((8, 3), (0, 7), (20, 1)), "ask": requests((0, 10), (20, 5))}
        inputs["beat"] = {"data": numbers(new[:11]), "strobes": np.full(11, 2**64 - 1, np.uint64)}
        memory = MemoryChannel("m", held, timing=HARD)
        result = run_streams(
            Answered(), inputs, {"answer": 3, "out": 15}, memories=[memory], simulator=simulator, gaps=gaps
        )
        assert (held[[8, 9, 10, *range(7), 20]] == new[:11]).all()
        runs.append((result.cycles, result.memory, result.accepted["answer"].tolist()))
    assert runs[0] == runs[1]


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
    return build(emit_verilog(Wires()), "top", wires_ports(), optimise="-O0")


def wires_ports():
    return [port for port, _ in stream_ports(Wires()).values()]


def raw(*segments):
    """Requests as beats of a port."""
    return np.array([[address, beats] for address, beats in segments], np.uint32)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_channel_lives_on_from_run_to_run(wires, simulator):
    held = contents(20)
    memories = [MemoryChannel("m", held)]
    interpreted = InterpretedSimulation(Wires(), wires_ports(), memories=memories)
    with interpreted if simulator == "amaranth" else wires.start(memories) as simulation:
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
    timing = MemoryTiming.of_device(device)
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
