"""Fetch: every segment in bursts that cross no boundary, at a beat a cycle, and never more than there is room for."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from hdl.channel import BEAT_BYTES
from hdl.kernels.fetch import Fetch, FetchSpec
from sim.streams import Deadlock

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .channel import OnChannel

SPEC = FetchSpec(max_beats=21, max_burst=8, latency_cycles=5)
SPECS = {
    "bursts of 8": SPEC,
    "single beats": replace(SPEC, max_beats=3, max_burst=1, latency_cycles=1),
    "segments shorter than a burst": replace(SPEC, max_beats=6, max_burst=64, latency_cycles=12),
    "pages": replace(SPEC, max_beats=200, max_burst=64, latency_cycles=70),
}


def segments(spec: FetchSpec, count: int, seed: int) -> np.ndarray:
    """Orders [n, 2]: shortest and longest segments among them, and such that begin or end at a boundary."""
    rng = np.random.default_rng(seed)
    beats = rng.integers(1, spec.max_beats + 1, count)
    beats[:3] = 1, spec.max_beats, 1
    address = rng.integers(0, (1 << 32) - spec.max_beats, count)
    address[1] = address[1] // spec.max_burst * spec.max_burst
    address[2] = address[2] // spec.max_burst * spec.max_burst + spec.max_burst - 1
    return np.stack([address, beats], axis=1)


def fields(pairs: np.ndarray) -> dict[str, np.ndarray]:
    return {"address": pairs[:, 0], "beats": pairs[:, 1]}


def run(
    spec: FetchSpec, orders: np.ndarray, memory: list[int], *, taken: int, asked: int, **options: Any
) -> StreamResult:
    component = OnChannel(Fetch(spec), response="response", latency=spec.latency_cycles)
    inputs = {"order": fields(orders), "response": np.array(memory, object)}
    return run_streams(component, inputs, {"requests": asked, "data": taken}, **options)


def check(spec: FetchSpec, orders: np.ndarray, **options: Any) -> StreamResult:
    rng = np.random.default_rng(len(orders))
    memory = [int.from_bytes(rng.bytes(BEAT_BYTES), "little") for _ in range(orders[:, 1].sum())]
    requests = spec.reference(orders)
    result = run(spec, orders, memory, taken=len(memory), asked=len(requests), **options)
    assert result.outputs["data"] == memory
    for name, column in fields(requests).items():
        np.testing.assert_array_equal(result.outputs["requests"][name], column)
    return result


@pytest.mark.parametrize(("simulator", "gaps"), [("amaranth", None), ("amaranth", 1), ("verilator", 2)])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_segments_come_in_the_bursts_of_the_reference(spec: FetchSpec, simulator: str, gaps: int | None) -> None:
    check(spec, segments(spec, 12, seed=1), simulator=simulator, gaps=gaps)


def test_a_reset_starts_anew() -> None:
    check(SPEC, segments(SPEC, 8, seed=2), gaps=3, reset_at=60)


def test_reference_cuts_at_boundaries() -> None:
    requests = SPEC.reference([(6, 13), (16, 8), (24, 9), (7, 1)])
    assert requests.tolist() == [[6, 2], [8, 8], [16, 3], [16, 8], [24, 8], [32, 1], [7, 1]]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_is_the_specs(spec: FetchSpec) -> None:
    result = check(spec, np.array([[3 * spec.max_burst, spec.max_beats]]))
    assert result.latency("order", "requests") == spec.request_latency
    assert result.latency("requests", "data") == spec.latency_cycles + spec.data_latency
    assert result.latency("order", "data") == spec.latency


@dataclass(frozen=True, kw_only=True)
class Shallower(FetchSpec):
    """A spec whose FIFO is a beat too small."""

    @property
    def ahead(self) -> int:
        return super().ahead - 1


def idle_cycles(spec: FetchSpec) -> int:
    """Cycles between first and last beat in which none came, of whole bursts, in segments that follow each other."""
    beats = spec.max_beats // spec.max_burst * spec.max_burst
    orders = np.array([[i * 2 * beats, beats] for i in range(3 + 3 * spec.ahead // beats)])
    data = check(spec, orders).accepted["data"]
    return int(data[-1] - data[0] + 1 - spec.cycles(len(data)))


@pytest.mark.parametrize("latency", [1, 40])
@pytest.mark.parametrize(("beats", "burst"), [(1, 1), (16, 1), (16, 8), (64, 64)])
def test_a_beat_a_cycle_and_a_smaller_fifo_would_not_do(beats: int, burst: int, latency: int) -> None:
    sizes = {"max_beats": beats, "max_burst": burst, "latency_cycles": latency}
    assert idle_cycles(FetchSpec(**sizes)) == 0
    assert idle_cycles(Shallower(**sizes)) > 0


def test_what_was_asked_for_is_taken_though_nobody_wants_it() -> None:
    order = np.array([[0, SPEC.max_beats]])
    sums = SPEC.reference(order)[:, 1].cumsum()
    fit = int((sums <= SPEC.ahead).sum())
    assert 0 < fit < len(sums)
    # All beats of the bursts that fit go in, with none taken out; the next burst is not asked for.
    run(SPEC, order, [0] * sums[fit - 1], taken=0, asked=fit)
    with pytest.raises(Deadlock):
        run(SPEC, order, [0] * sums[fit - 1], taken=0, asked=fit + 1, timeout=50)
    # With as many beats taken as it lacks, it is.
    run(SPEC, order, [0] * sums[fit - 1], taken=sums[fit] - SPEC.ahead, asked=fit + 1)


def test_resources_are_those_of_synthesis() -> None:
    assert_mapped((Fetch(spec), spec.resources) for spec in (SPEC, SPECS["pages"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_burst": 0}, "fetch bursts must be a power of two of 1 to 256 beats, not 0"),
        ({"max_burst": 48}, "fetch bursts must be a power of two of 1 to 256 beats, not 48"),
        ({"max_burst": 512}, "fetch bursts must be a power of two of 1 to 256 beats, not 512"),
        ({"max_beats": 0}, "fetch segments must be of 1 to 4294967295 beats, not 0"),
        ({"latency_cycles": 0}, "fetch latency must be 1 to 2048 cycles, not 0"),
        ({"latency_cycles": 2049}, "fetch latency must be 1 to 2048 cycles, not 2049"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
