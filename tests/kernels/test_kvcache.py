"""The KV cache: scores and weighted sums of tiles and of single tokens, over layers, positions and gaps; figures."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.kernels.attention import AttentionSpec
from hdl.kernels.kvcache import KvCacheSpec
from hdl.kernels.scores import Scores, ScoresSpec
from hdl.kernels.weightedsum import WeightedSums, WeightedSumsSpec

from ..harness import StreamResult, run_streams, ways
from ..synthesis import assert_mapped
from .tensors import as_beats, by_head, padded

GPT2 = KvCacheSpec(features=2 * 768, layers=12, max_length=1024, banks=48, on_chip=True)

SCORES = ScoresSpec(
    rows=2, heads=2, head_size=16, max_length=12, columns=4, cascades=1, lanes_in=1, lanes_stored=1, lanes=1, layers=4
)
SCORES_GEOMETRIES = {
    "one lane": SCORES,
    "three tiles a pass, one layer": replace(
        SCORES, rows=4, columns=12, lanes=3, max_length=36, lanes_in=2, lanes_stored=2, layers=1
    ),
    "cascades, one word a pass": replace(SCORES, cascades=2, lanes=4, lanes_stored=4, max_length=26),
    "eight rows, a tile a pass": replace(SCORES, rows=8, columns=8, lanes=2, max_length=32, heads=3, head_size=8),
    "two blocks a RAM": replace(SCORES, heads=1, layers=20, max_length=420, lanes_stored=8, lanes_in=8),
}
SUMS = WeightedSumsSpec(
    rows=2, heads=2, head_size=16, max_length=20, columns=4, cascades=1, lanes_in=1, lanes_stored=1, lanes=1, layers=4
)
SUMS_GEOMETRIES = {
    "one lane": SUMS,
    "six tiles a word": replace(
        SUMS, rows=4, cascades=3, lanes_in=3, columns=8, max_length=52, lanes_stored=2, layers=2
    ),
    "a tile a word": replace(SUMS, rows=8, columns=4, lanes=2, lanes_in=8, lanes_stored=4, heads=3, max_length=40),
    "one column, one layer": replace(SUMS, columns=1, head_size=8, ram_style="block", layers=1),
    "two blocks a RAM": replace(SUMS, heads=1, layers=20, max_length=424, lanes_stored=4, lanes_in=8),
}

Step = tuple[int, int, int]
"""A tile's layer, its place in the sequence, and the rows that are written."""


def steps(spec: AttentionSpec) -> list[Step]:
    """A prompt of whole tiles and a row; token after token; the last tokens; the start once more. Of four layers at
    most, the first and the last among them."""
    all_rows, tokens, length = (1 << spec.rows) - 1, 3 * spec.rows + 1, spec.max_length
    prompt = [(tile, all_rows) for tile in range(3)] + [(3, 1)]
    positions = [*range(tokens, min(tokens + 3, length)), *range(max(tokens + 3, length - 2), length)]
    runs = [prompt, *([(position // spec.rows, 1 << position % spec.rows)] for position in positions)]
    # Without a pause only where what is overwritten belongs to a layer that nobody reads any more.
    runs += [[(0, all_rows), (1, 1)]] if spec.layers > spec.banks.ahead else []
    layers = np.linspace(0, spec.layers - 1, min(spec.layers, 4), dtype=int).tolist()
    return [(layer, tile, rows) for run in runs for layer in layers for tile, rows in run]


class Cache:
    """The keys or values of all layers, int8 [layers, tokens, hidden], and which of them were written."""

    def __init__(self, spec: AttentionSpec):
        self.spec = spec
        self.stored = np.zeros((spec.layers, spec.max_length, spec.heads * spec.head_size), dtype=np.int64)
        self.written = np.zeros((spec.layers, spec.max_length), dtype=bool)

    def append(self, step: Step, tile: np.ndarray) -> np.ndarray:
        """Writes the rows of a tile; the layer's tokens up to the end of the tile."""
        layer, index, rows = step
        for row in range(self.spec.rows):
            if rows >> row & 1:
                position = index * self.spec.rows + row
                self.stored[layer, position], self.written[layer, position] = tile[row], True
        return self.stored[layer, : (index + 1) * self.spec.rows]


def order(spec: AttentionSpec, step: Step) -> dict[str, int]:
    """The order of a tile."""
    tokens = (step[1] + 1) * spec.rows
    if isinstance(spec, ScoresSpec):
        bounds = {"passes": spec.passes(tokens), "words": spec.words}
    else:
        assert isinstance(spec, WeightedSumsSpec)
        bounds = {"passes": spec.passes, "words": spec.words(tokens)}
    layer = {} if spec.channels else {"layer": step[0]}
    return layer | {"tile": step[1], "rows": step[2]} | bounds


def scores_stimulus(spec: ScoresSpec, todo: list[Step], seed: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Inputs for the steps, the scores as beats, and which of them belong to stored keys."""
    rng = np.random.default_rng(seed)
    cache, hidden = Cache(spec), spec.heads * spec.head_size
    keys, queries, expected, valid = [], [], [], []
    for step in todo:
        tile, query = rng.integers(-127, 128, (2, spec.rows, hidden))
        seen = cache.append(step, tile)
        scores = spec.reference(query, seen)
        mask = np.broadcast_to(cache.written[step[0], : len(seen)], scores.shape)
        for beats, tensor in ((expected, scores), (valid, mask)):
            beats.append(by_head(padded(tensor, spec.columns, 2, 0), spec.rows, spec.lanes))
        keys.append(as_beats(tile, spec.rows, spec.lanes_stored))
        queries.append(as_beats(query, spec.rows, spec.lanes_in))
    inputs = {"stored": np.concatenate(keys), "activations": np.concatenate(queries)}
    orders = [order(spec, step) for step in todo]
    return inputs | {"order": orders}, np.concatenate(expected), np.concatenate(valid).astype(bool)


def sums_stimulus(spec: WeightedSumsSpec, todo: list[Step], seed: int) -> tuple[dict, np.ndarray]:
    """Inputs for the steps, with numerators 0 for what was not stored, and the sums as beats."""
    rng = np.random.default_rng(seed)
    cache, hidden = Cache(spec), spec.heads * spec.head_size
    values, numerators, expected = [], [], []
    for step in todo:
        tile = rng.integers(-127, 128, (spec.rows, hidden))
        seen = cache.append(step, tile)
        weights = rng.integers(0, 128, (spec.heads, spec.rows, len(seen))) * cache.written[step[0], : len(seen)]
        values.append(as_beats(tile, spec.rows, spec.lanes_stored))
        numerators.append(by_head(padded(weights, spec.depth, 2, 0), spec.rows, spec.lanes_in))
        expected.append(as_beats(spec.reference(weights, seen), spec.rows, spec.lanes))
    inputs = {"stored": np.concatenate(values), "activations": np.concatenate(numerators)}
    return inputs | {"order": [order(spec, step) for step in todo]}, np.concatenate(expected)


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(SCORES_GEOMETRIES))
def test_scores_equal_the_reference(spec: ScoresSpec, simulator: str, gaps: int | None) -> None:
    inputs, scores, valid = scores_stimulus(spec, steps(spec), seed=1)
    result = run_streams(Scores(spec), inputs, {"sums": len(scores)}, gaps=gaps, simulator=simulator)
    np.testing.assert_array_equal(result.outputs["sums"][valid], scores[valid])


@pytest.mark.parametrize(("spec", "simulator", "gaps"), ways(SUMS_GEOMETRIES))
def test_sums_equal_the_reference(spec: WeightedSumsSpec, simulator: str, gaps: int | None) -> None:
    inputs, sums = sums_stimulus(spec, steps(spec), seed=1)
    result = run_streams(WeightedSums(spec), inputs, {"sums": len(sums)}, gaps=gaps, simulator=simulator)
    np.testing.assert_array_equal(result.outputs["sums"], sums)


def prompt(spec: AttentionSpec, layers: int = 1) -> list[Step]:
    """A prompt of the greatest length in some layers."""
    return [(layer, tile, (1 << spec.rows) - 1) for layer in range(layers) for tile in range(spec.max_tiles)]


@pytest.mark.parametrize("name", ["one lane", "three tiles a pass, one layer", "eight rows, a tile a pass"])
def test_a_tile_of_scores_takes_the_cycles_of_its_place(name: str) -> None:
    spec = SCORES_GEOMETRIES[name]
    spec = replace(spec, lanes_in=spec.depth, lanes_stored=8)
    inputs, scores, _ = scores_stimulus(spec, prompt(spec), seed=2)
    result = run_streams(Scores(spec), inputs, {"sums": len(scores)})
    counts = [spec.passes(end) * spec.array.chain for end in tile_ends(spec)]
    check_cycles(result, spec, [spec.heads * count for count in counts], spec.words)


@pytest.mark.parametrize("name", ["one lane", "six tiles a word", "a tile a word"])
def test_a_tile_of_sums_takes_the_cycles_of_its_place(name: str) -> None:
    spec = replace(SUMS_GEOMETRIES[name], lanes_in=SUMS_GEOMETRIES[name].depth)
    spec = replace(spec, lanes_stored=spec.columns)
    inputs, sums = sums_stimulus(spec, prompt(spec), seed=2)
    result = run_streams(WeightedSums(spec), inputs, {"sums": len(sums)})
    check_cycles(result, spec, [spec.heads * spec.head_size // spec.lanes] * spec.max_tiles, 1)


def tile_ends(spec: AttentionSpec) -> range:
    """Tokens up to the end of each tile of the longest sequence."""
    return range(spec.rows, spec.max_length + 1, spec.rows)


def check_cycles(result: StreamResult, spec: AttentionSpec, beats: list[int], words: int) -> None:
    """Tile after tile, of so many beats of sums, the first of so many words a pass, at the spec's cycles."""
    assert result.accepted["stored"][0] - result.accepted["order"][0] == spec.order_latency
    last = len(result.accepted["stored"]) // spec.max_tiles - 1
    assert result.accepted["sums"][0] - result.accepted["stored"][last] == spec.latency(words)
    ends = result.accepted["sums"][np.cumsum(beats) - 1]
    assert np.diff(ends).tolist() == [spec.tile_cycles(end) for end in tile_ends(spec)][1:]
    assert ends[-1] - ends[0] == spec.cycles(spec.max_length) - spec.tile_cycles(spec.rows)


def test_resources_are_those_of_synthesis() -> None:
    # bench/units.py has larger caches of keys and of values.
    spec = ScoresSpec(
        rows=2, heads=12, head_size=64, max_length=256, layers=2, columns=8, cascades=1, lanes_in=2, lanes_stored=2,
        lanes=2,
    )  # fmt: skip
    assert_mapped([(Scores(spec), spec.resources)])


def test_impossible_caches_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        replace(SCORES, max_length=13)
    assert str(error.value) == "attention with a cache must have whole tiles of 2 tokens, not 13 tokens"
    with pytest.raises(ValueError) as error:
        replace(SUMS, layers=-1)
    assert str(error.value) == "attention layers must be at least 1 with a cache, or 0 without, not -1"


def test_size_is_that_of_the_paper() -> None:
    assert GPT2.size == 12 * 2 * 1024 * 768  # S_KV = 2 l_max d, a byte each, for every layer


def test_urams_hold_it_all() -> None:
    bytes_a_uram = 4096 * 8
    assert GPT2.resources.uram == 48 * 12
    assert GPT2.resources.uram * bytes_a_uram == GPT2.size
    assert replace(GPT2, on_chip=False).resources.uram == 0


def test_cycles_and_bytes_grow_with_the_context() -> None:
    assert GPT2.cycles(0) == 0
    assert GPT2.cycles(100) == 100 * 1536 / (8 * 48)
    assert GPT2.bytes_read(100) == 0
    assert replace(GPT2, on_chip=False).bytes_read(100) == 100 * 1536 * 12


@pytest.mark.parametrize("name", ["features", "layers", "max_length", "banks"])
def test_impossible_sizes_are_refused(name: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(GPT2, **{name: 0})
    assert str(error.value) == f"KV cache {name} must be at least 1, not 0"
