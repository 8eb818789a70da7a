"""Scores and weighted sums: bit-exact over geometries, layers, lengths and gaps; latency and cycles as their specs
say."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.kernels.attention import AttentionSpec
from hdl.kernels.scores import Scores, ScoresSpec
from hdl.kernels.weightedsum import WeightedSums, WeightedSumsSpec

from ..harness import run_streams, ways
from ..synthesis import assert_mapped
from .tensors import as_beats, by_head, padded

SCORES = ScoresSpec(
    rows=2, heads=2, head_size=16, max_length=12, columns=4, cascades=1, lanes_in=1, lanes_stored=1, lanes=1
)
SCORES_GEOMETRIES = {
    "one lane": SCORES,
    "odd lanes": replace(SCORES, rows=4, columns=12, lanes=3, max_length=20, lanes_in=2, lanes_stored=2),
    "cascades, one word a pass": replace(SCORES, cascades=2, lanes=4, lanes_stored=4, max_length=11),
    "eight rows, one pass": replace(SCORES, rows=8, columns=16, lanes=2, max_length=16, heads=3, head_size=8),
}
SUMS = WeightedSumsSpec(
    rows=2, heads=2, head_size=16, max_length=20, columns=4, cascades=1, lanes_in=1, lanes_stored=1, lanes=1
)
SUMS_GEOMETRIES = {
    "one lane": SUMS,
    "odd cascades and lanes in": replace(
        SUMS, rows=4, cascades=3, lanes_in=3, columns=8, max_length=50, lanes_stored=2
    ),
    "lanes": replace(SUMS, rows=8, columns=4, lanes=2, lanes_in=8, lanes_stored=4, heads=3, max_length=16),
    "one column": replace(SUMS, columns=1, head_size=8, ram_style="block"),
}


def scores_stimulus(spec: ScoresSpec, lengths: list[int], seed: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Inputs for a layer of each length, the scores as beats, and which of them belong to the sequence."""
    rng = np.random.default_rng(seed)
    inputs: dict = {"order": [], "stored": [], "activations": []}
    expected, valid = [], []
    for tokens in lengths:
        hidden = spec.heads * spec.head_size
        keys, queries = rng.integers(-127, 128, (tokens, hidden)), rng.integers(-127, 128, (tokens, hidden))
        keys[-1], queries[-1] = rng.choice([-127, 127]), 127
        inputs["order"].append({"tiles": spec.tiles(tokens), "passes": spec.passes(tokens), "words": spec.words})
        keys, queries = (padded(x, spec.rows, 0, 99) for x in (keys, queries))
        inputs["stored"].append(as_beats(keys, spec.rows, spec.lanes_stored))
        inputs["activations"].append(as_beats(queries, spec.rows, spec.lanes_in))
        scores = spec.reference(queries, keys[:tokens])
        mask = padded(np.ones_like(scores), spec.columns, 2, 0)
        expected.append(by_head(padded(scores, spec.columns, 2, 0), spec.rows, spec.lanes))
        valid.append(by_head(mask, spec.rows, spec.lanes))
    joined = {name: np.concatenate(inputs[name]) for name in ("stored", "activations")}
    return inputs | joined, np.concatenate(expected), np.concatenate(valid).astype(bool)


def sums_stimulus(spec: WeightedSumsSpec, lengths: list[int], seed: int) -> tuple[dict, np.ndarray]:
    """Inputs for a layer of each length and the sums as beats."""
    rng = np.random.default_rng(seed)
    inputs: dict = {"order": [], "stored": [], "activations": []}
    expected = []
    for tokens in lengths:
        values = rng.integers(-127, 128, (tokens, spec.heads * spec.head_size))
        values[:, 0] = -127
        values = padded(values, spec.rows, 0, 99)
        numerators = rng.integers(0, 128, (spec.heads, len(values), tokens))
        numerators[:, 0] = 127
        inputs["order"].append({"tiles": spec.tiles(tokens), "passes": spec.passes, "words": spec.words(tokens)})
        inputs["stored"].append(as_beats(values, spec.rows, spec.lanes_stored))
        inputs["activations"].append(by_head(padded(numerators, spec.depth, 2, 0), spec.rows, spec.lanes_in))
        expected.append(as_beats(spec.reference(numerators, values[:tokens]), spec.rows, spec.lanes))
    joined = {name: np.concatenate(inputs[name]) for name in ("stored", "activations")}
    return inputs | joined, np.concatenate(expected)


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(SCORES_GEOMETRIES))
def test_scores_equal_the_reference(spec: ScoresSpec, simulator: str, gaps: int | None) -> None:
    lengths = [spec.max_length, 1, 7, 8, spec.max_length - 1]
    inputs, scores, valid = scores_stimulus(spec, lengths, seed=1)
    result = run_streams(Scores(spec), inputs, {"sums": len(scores)}, gaps=gaps, simulator=simulator)
    np.testing.assert_array_equal(result.outputs["sums"][valid], scores[valid])


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(SUMS_GEOMETRIES))
def test_sums_equal_the_reference(spec: WeightedSumsSpec, simulator: str, gaps: int | None) -> None:
    inputs, sums = sums_stimulus(spec, [spec.max_length, 1, 7, 8, spec.max_length - 1], seed=1)
    result = run_streams(WeightedSums(spec), inputs, {"sums": len(sums)}, gaps=gaps, simulator=simulator)
    np.testing.assert_array_equal(result.outputs["sums"], sums)


@pytest.mark.parametrize("spec", SCORES_GEOMETRIES.values(), ids=SCORES_GEOMETRIES)
def test_scores_take_the_cycles_of_the_spec(spec: ScoresSpec) -> None:
    inputs, scores, _ = scores_stimulus(spec, [spec.max_length] * 4, seed=2)
    result = run_streams(Scores(spec), inputs, {"sums": len(scores)}, simulator="verilator")
    check_pace(result, spec, len(scores) // 4)
    check_latency(result, spec, spec.words)


@pytest.mark.parametrize("spec", SUMS_GEOMETRIES.values(), ids=SUMS_GEOMETRIES)
def test_sums_take_the_cycles_of_the_spec(spec: WeightedSumsSpec) -> None:
    inputs, sums = sums_stimulus(spec, [spec.max_length] * 4, seed=2)
    result = run_streams(WeightedSums(spec), inputs, {"sums": len(sums)}, simulator="verilator")
    check_pace(result, spec, len(sums) // 4)
    check_latency(result, spec, spec.words(spec.max_length))


def check_pace(result, spec: AttentionSpec, beats: int) -> None:
    """Layers follow each other at the spec's cycles, or at what the arrival of their inputs takes."""
    arrival = max(len(result.accepted[name]) for name in ("stored", "activations")) // 4
    starts = result.accepted["sums"][::beats]
    assert starts[3] - starts[2] == max(spec.cycles(spec.max_length), arrival)


def check_latency(result, spec: AttentionSpec, words: int) -> None:
    """The first sums come so many cycles after the last key or value of their layer."""
    last = len(result.accepted["stored"]) // 4 - 1
    assert result.accepted["sums"][0] - result.accepted["stored"][last] == spec.latency(words)


def test_latency_where_activations_come_last() -> None:
    scores, sums = replace(SCORES, lanes_stored=8), replace(SUMS, lanes_stored=4, cascades=2)
    inputs, expected, _ = scores_stimulus(scores, [2], seed=6)
    check_late_activations(run_streams(Scores(scores), inputs, {"sums": len(expected)}), scores, scores.words)
    inputs, expected = sums_stimulus(sums, [2], seed=6)
    result = run_streams(WeightedSums(sums), inputs, {"sums": len(expected)})
    check_late_activations(result, sums, sums.words(2))


def check_late_activations(result, spec: AttentionSpec, words: int) -> None:
    """The first sums come so many cycles after the activations that complete their pass."""
    last = result.accepted["activations"][words * spec.depth // spec.lanes_in - 1]
    assert result.accepted["stored"][-1] + spec.latency(words) < last + spec.activation_latency + spec.array.latency
    assert result.accepted["sums"][0] - last == spec.activation_latency + spec.array.latency


def test_reset_in_the_middle() -> None:
    inputs, sums = sums_stimulus(SUMS, [9, 4], seed=4)
    result = run_streams(WeightedSums(SUMS), inputs, {"sums": len(sums)}, reset_at=150)
    np.testing.assert_array_equal(result.outputs["sums"], sums)


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has scores, and weighted sums of other geometries.
    spec = WeightedSumsSpec(
        rows=2, heads=12, head_size=64, max_length=512, columns=8, cascades=1, lanes_in=2, lanes_stored=2, lanes=2
    )
    assert_mapped([(WeightedSums(spec), spec.resources)])
