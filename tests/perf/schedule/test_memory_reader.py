"""Readers of memory: their pace is that of the memory's model, beat by beat."""

from fractions import Fraction

import numpy as np
import pytest

from hdl.kernels.fetch import FetchSpec
from hdl.perf.device import load_device
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.memory_reader import MemoryReader
from hdl.perf.schedule.servers import LONG_AGO
from sim.memory import MemoryChannel
from sim.memory_model import ChannelModel, Side

FETCH = FetchSpec(max_beats=4096, latency_cycles=80)

U280 = MemoryTiming.of(load_device("u280").memory, 300)

BEATS = 3000


def test_who_watches_is_told_what_was_taken() -> None:
    reader, told = MemoryReader(FETCH, IDEAL, np.array([0]), 0), []
    reader.took(reader.given(np.full(3, LONG_AGO), 2.0))
    reader.watch = lambda when, beats: told.append((when, beats))
    taken = reader.given(np.full(5, LONG_AGO), 4.0)
    reader.took(taken)
    assert [(when.tolist(), beats) for when, beats in told] == [(taken.tolist(), 4.0)]


def moved(timing: MemoryTiming, phase: int, start: int) -> list[int]:
    """The cycles in which a channel's model moves beats, all of which are asked for from ``start`` on."""
    model = ChannelModel(MemoryChannel("one", np.zeros((BEATS, 64), np.uint8), timing=timing), 0, phase)
    found: list[int] = []
    asked, cycle = 0, 0
    while len(found) < BEATS:
        sides = {"requests": Side(True, False), "data": Side(True, False)}
        ready, payload = model.drive(sides)
        shown = {}
        if cycle >= start and asked < BEATS and ready["requests"]:
            count = min(64, BEATS - asked)
            shown["requests"] = count << 32 | asked
            asked += count
        if ready["data"]:
            shown["data"] = payload
            found.append(cycle)
        model.observe(cycle, {"data": ready["data"]}, shown)
        cycle += 1
    return found


@pytest.mark.parametrize("timing", [IDEAL, U280, MemoryTiming(rate=Fraction(1, 3))], ids=["ideal", "u280", "slow"])
def test_beats_come_as_the_memory_gives_them(timing: MemoryTiming) -> None:
    phase, start = 500, 9
    reader = MemoryReader(FETCH, timing, np.array([phase]), start)
    room = np.full(BEATS // 10, LONG_AGO)
    given = np.concatenate([reader.given(room[:100], 10), reader.given(room[100:], 10)], axis=1)[0]
    simulated = np.array(moved(timing, phase, start))[9::10] + FETCH.data_latency
    late = np.ceil(given - 1e-6) - simulated
    # At first and at each refresh the channel saves a beat; what comes so much earlier may just miss a refresh.
    saved = simulated / (timing.refresh_interval or BEATS * 1000)
    missed = (late > timing.refresh - 2) & (timing.refresh > 0)
    assert (np.abs(late - missed * timing.refresh) <= 3 + saved).all()
    assert missed.mean() < 0.02


def test_a_reader_asks_for_what_it_has_room_for() -> None:
    reader = MemoryReader(FETCH, U280, np.array([0]), 0)
    reader.given(np.full(FETCH.ahead, LONG_AGO), 1)
    # All that is ahead waits until a long time later.
    reader.took(np.full((1, FETCH.ahead), 5000.0))
    assert reader.given(np.array([5000]), 1)[0, 0] >= 5000 + U280.latency
