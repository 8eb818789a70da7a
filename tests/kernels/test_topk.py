"""Top k: the best in order, ties to the lower token, and to the cycle in the best and the worst case."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.topk import TopK, TopKSpec
from hdl.stream import BUFFER_DEPTH

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped

SPEC = TopKSpec(rows=2, lanes=1, features=23, largest=5)
SPECS = {
    "one lane": SPEC,
    "odd lanes, the last beat not full": replace(SPEC, rows=4, lanes=3, features=70, largest=9),
    "power of two": replace(SPEC, rows=4, lanes=8, features=256, largest=16),
    "one row, all of them": replace(SPEC, rows=1, lanes=4, features=7, largest=7),
    "the largest alone": replace(SPEC, lanes=4, features=30, largest=1),
    "a single logit": replace(SPEC, lanes=2, features=1, largest=1),
}
LOW, HIGH = -(1 << 15), (1 << 15) - 1


def vectors(spec: TopKSpec, seed: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Logits [orders, rows, features], random, with ties, rising, falling, all lowest, all highest; orders (row, k)."""
    rng = np.random.default_rng(seed)
    shape = (spec.rows, spec.features)
    rise = np.arange(spec.features) + np.zeros(shape, dtype=np.int64)
    logits = [
        rng.integers(LOW, HIGH + 1, shape),
        rng.integers(-2, 3, shape),
        rng.choice([LOW, HIGH], shape),
        rise,
        -rise,
        np.full(shape, LOW),
        np.full(shape, HIGH),
        rng.permuted(rise, axis=1),
    ]
    ks = rng.integers(1, spec.largest + 1, len(logits))
    ks[:2] = spec.largest, 1
    rows = rng.integers(spec.rows, size=len(logits))
    return np.array(logits), list(zip(rows.tolist(), ks.tolist(), strict=True))


def run(spec: TopKSpec, logits: np.ndarray, orders: list[tuple[int, int]], seed: int, **options: Any) -> StreamResult:
    """Runs orders; results must be the reference's, whatever stands in lanes that are not there."""
    rng = np.random.default_rng(seed)
    padded = rng.integers(LOW, HIGH + 1, (*logits.shape[:2], spec.beats * spec.lanes))
    padded[..., : spec.features] = logits
    beats = padded.reshape(len(logits), spec.rows, spec.beats, spec.lanes).swapaxes(1, 2)
    rows, ks = np.array(orders).T
    inputs = {"order": {"row": rows, "k": ks}, "logits": beats.reshape(-1, spec.rows, spec.lanes)}
    result = run_streams(TopK(spec), inputs, {"results": ks.sum()}, **options)
    expected = [spec.reference(logits[i, row], k) for i, (row, k) in enumerate(orders)]
    np.testing.assert_array_equal(result.outputs["results"]["token"], np.concatenate([t for t, _ in expected]))
    np.testing.assert_array_equal(result.outputs["results"]["logit"], np.concatenate([x for _, x in expected]))
    np.testing.assert_array_equal(np.flatnonzero(result.outputs["results"]["last"]), ks.cumsum() - 1)
    return result


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_results_equal_the_reference(spec: TopKSpec, gaps: int | None) -> None:
    run(spec, *vectors(spec, seed=1), seed=1, gaps=gaps)


@pytest.mark.parametrize("spec", list(SPECS.values())[:3], ids=list(SPECS)[:3])
def test_emitted_verilog_equals_the_reference(spec: TopKSpec) -> None:
    run(spec, *vectors(spec, seed=2), seed=2, gaps=2, simulator="verilator")


def test_a_reset_starts_anew() -> None:
    run(SPEC, *vectors(SPEC, seed=3), seed=3, gaps=3, reset_at=50)


def test_ties_go_to_the_lower_token() -> None:
    tokens, logits = SPEC.reference(np.array([3, 7, -1, 7, 8, 3, 7]), 5)
    assert tokens.tolist() == [4, 1, 3, 6, 0]
    assert logits.tolist() == [8, 7, 7, 7, 3]


@pytest.mark.parametrize("k", [1, None])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_cycles_at_best_and_at_worst_are_the_specs(spec: TopKSpec, k: int | None) -> None:
    k = k or spec.largest
    equal = np.zeros((3, spec.rows, spec.features), dtype=np.int64)
    rising = equal + np.arange(spec.features)
    for logits, cycles in ((equal, spec.cycles(k)), (rising, spec.worst_cycles(k))):
        result = run(spec, logits, [(0, k)] * 3, seed=4)
        assert np.diff(result.accepted["order"]).tolist() == [cycles] * 2
        if logits is equal:
            between = np.diff(np.reshape(result.accepted["logits"], (-1, spec.beats)), axis=1)
            # As many beats as wait in the buffer come at once.
            expected = [*[1] * BUFFER_DEPTH, *spec.beat_cycles(k)[1:]]
            assert (between == expected[: spec.beats - 1]).all()


@pytest.mark.parametrize("candidates", range(4))
def test_latency_is_the_specs(candidates: int) -> None:
    spec = replace(SPEC, lanes=3, features=60, largest=2)
    logits = np.zeros((1, spec.rows, spec.features), dtype=np.int64)
    logits[0, 0, spec.features - candidates :] = np.arange(candidates) + 1
    result = run(spec, logits, [(0, 2)], seed=5)
    assert result.latency("logits", "results", beat=spec.beats - 1) == spec.latency(candidates)


def test_resources_are_those_of_synthesis() -> None:
    specs = [SPECS["odd lanes, the last beat not full"], TopKSpec(rows=2, lanes=4, features=50257, largest=24)]
    assert_mapped((TopK(spec), spec.resources) for spec in specs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "top k rows must be at least 1, not 0"),
        ({"lanes": 0}, "top k lanes must be at least 1, not 0"),
        ({"features": 0}, "top k features must be at least 1, not 0"),
        ({"largest": 0}, "top k must be 1 to 23 of 23 logits, not 0"),
        ({"largest": 24}, "top k must be 1 to 23 of 23 logits, not 24"),
        ({"features": 100, "largest": 65}, "top k must be 1 to 64 of 100 logits, not 65"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
