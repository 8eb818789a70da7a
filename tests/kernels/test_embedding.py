"""Embedding: every token in its row, copies in the others, a tile in time, and a single token soon."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest

from hdl.kernels.embedding import Embedding, EmbeddingSpec

from ..harness import StreamResult, run_streams, ways
from ..synthesis import assert_mapped
from .channel import OnChannel
from .tensors import as_beats

SPEC = EmbeddingSpec(rows=2, lanes=1, hidden=36, vocabulary=50, positions=32, latency_cycles=7)
SPECS = {
    "one lane": SPEC,
    "odd lanes, the last beat not full": replace(SPEC, rows=4, lanes=3, width=6, hidden=69, vocabulary=9),
    "power of two": replace(SPEC, rows=4, lanes=4, width=8, hidden=64, latency_cycles=40),
    "a beat a cycle": replace(SPEC, rows=4, lanes=2, width=32, hidden=160, positions=40, latency_cycles=1),
    "one row, one word": replace(SPEC, rows=1, lanes=8, width=16, hidden=16, vocabulary=2),
}
# Runs (first position, tokens): single tokens in all places, tiles not filled, tiles not begun at their start.
RUNS = [(0, 1), (1, 1), (3, 1), (5, 6), (0, 9), (31, 1), (2, 2), (7, 9), (8, 8)]


def tables(spec: EmbeddingSpec, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Word and position tables of all magnitudes: half of the sums saturate."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << 15), (1 << 15) - 1
    word = rng.integers(low, high + 1, (spec.vocabulary, spec.hidden))
    position = rng.choice([low, high, -1, 0, 1], (spec.positions, spec.hidden))
    return word, position


def run(spec: EmbeddingSpec, runs: list[tuple[int, int]], seed: int, **options: Any) -> StreamResult:
    """Runs of random ids; tiles and requests must be the reference's."""
    rng = np.random.default_rng(seed)
    word, position = tables(spec, seed)
    ids = [rng.integers(spec.vocabulary, size=tokens) for _, tokens in runs]
    ids[-1][-1] = spec.vocabulary - 1
    image = spec.pack(word, position).view("<u4")
    rows = [
        row
        for (start, _), chosen in zip(runs, ids, strict=True)
        for p, i in enumerate(chosen, start)
        for row in (spec.vocabulary + p, int(i))
    ]
    beats = image.reshape(-1, spec.row_beats, 16)[rows].reshape(-1, 16)
    memory = np.array([int.from_bytes(beat.tobytes(), "little") for beat in beats], object)
    requests = spec.fetch.reference([(row * spec.row_beats, spec.row_beats) for row in rows])
    expected = np.concatenate(
        [spec.reference(word, position, chosen, start) for (start, _), chosen in zip(runs, ids, strict=True)]
    )
    starts, tokens = np.array(runs).T
    inputs = {"order": {"position": starts, "tokens": tokens}, "ids": np.concatenate(ids), "data": memory}
    component = OnChannel(Embedding(spec), response="data", latency=spec.latency_cycles)
    beats = as_beats(expected, spec.rows, spec.lanes)
    result = run_streams(component, inputs, {"requests": len(requests), "tokens": len(beats)}, **options)
    np.testing.assert_array_equal(result.outputs["tokens"], beats)
    np.testing.assert_array_equal(result.outputs["requests"]["address"], requests[:, 0])
    np.testing.assert_array_equal(result.outputs["requests"]["beats"], requests[:, 1])
    return result


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(SPECS))
def test_tiles_equal_the_reference(spec: EmbeddingSpec, simulator: str, gaps: int | None) -> None:
    run(spec, RUNS, seed=1, gaps=gaps, simulator=simulator)


def test_a_reset_starts_anew() -> None:
    run(SPEC, RUNS, seed=2, gaps=3, reset_at=300, simulator="verilator")


def test_sums_saturate() -> None:
    spec = replace(SPEC, rows=1, hidden=3)
    word, position = np.array([[32767, -32768, -1]]), np.array([[1, -1, 1]])
    assert spec.reference(word, position, np.array([0])).tolist() == [[32767, -32768, 0]]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_is_the_specs(spec: EmbeddingSpec) -> None:
    # At position 0: the row of the last one may lie across a boundary, which takes another request.
    result = run(spec, [(0, 1)], seed=3, simulator="verilator")
    assert result.latency("order", "tokens") == spec.latency


@pytest.mark.parametrize("latency", [1, 60])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_memorys_latency_is_hidden_in_a_prompt(spec: EmbeddingSpec, latency: int) -> None:
    spec = replace(spec, latency_cycles=latency)
    tiles = ceil(24 / spec.rows)
    result = run(spec, [(0, tiles * spec.rows)], seed=4)
    starts = result.accepted["tokens"][:: spec.hidden // spec.lanes]
    assert (np.diff(starts) == spec.cycles()).all()


def test_the_image_has_the_words_first() -> None:
    spec = replace(SPEC, lanes=3, width=3, hidden=33, vocabulary=2, positions=1)
    word, position = np.arange(66).reshape(2, 33), -np.arange(33)[None]
    image = spec.pack(word, position)
    assert image.shape == (6, 64)
    # Ten words of three features fill a beat but for two; the eleventh stands in the next.
    values = image.view("<i2")
    assert values[0].tolist() == [*range(30), 0, 0]
    assert values[1].tolist() == [30, 31, 32, *[0] * 29]
    assert values[2, :2].tolist() == [33, 34]
    assert values[5, :3].tolist() == [-30, -31, -32]


def test_tables_of_other_sizes_are_refused() -> None:
    word, position = tables(SPEC, seed=5)
    with pytest.raises(ValueError) as error:
        SPEC.pack(word[1:], position)
    assert str(error.value) == "word table must be 50 x 36, not 49 x 36"
    position[1, 2] = 1 << 15
    with pytest.raises(ValueError) as error:
        SPEC.pack(word, position)
    assert str(error.value) == "position table must be -32768..32767, not -32768..32768"


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has one with the tables of GPT-2.
    assert_mapped([(Embedding(SPEC), SPEC.resources)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 0}, "embedding vocabulary must be at least 1, not 0"),
        ({"width": 36}, "embedding width must be up to the 32 features of a memory beat, not 36"),
        ({"rows": 6}, "row gather rows must be a power of two, not 6"),
        ({"vocabulary": 1 << 31}, "embedding tables must have up to 4294967296 beats, not 4294967360"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
