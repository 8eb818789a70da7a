"""Softmax: bit-exact over geometries, sequence lengths and gaps; to the cycle; close to the real softmax."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.parameters import ChannelParameters
from hdl.kernels.softmax import Softmax, SoftmaxSpec
from hdl.kernels.softmax_row import EXPONENTIALS, SCORE_FACTOR_BITS
from sim.streams import Deadlock

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats, row_beats

SPEC = SoftmaxSpec(rows=2, lanes=1, heads=2, max_length=12, score_bits=10, key_multiple=4, value_multiple=3)
SPECS = {
    "one lane": SPEC,
    "odd lanes, causal": replace(
        SPEC, lanes=3, heads=3, max_length=40, score_bits=21, key_multiple=6, value_multiple=15, causal=True
    ),
    "power of two, one head": replace(
        SPEC, rows=4, lanes=4, heads=1, max_length=31, score_bits=26, key_multiple=8, value_multiple=4
    ),
    "one row, causal, one key": replace(
        SPEC, rows=1, heads=3, max_length=1, key_multiple=1, value_multiple=1, causal=True
    ),
}
LENGTHS = {"one lane": [5, 12, 1], "odd lanes, causal": [1, 13, 40], "power of two, one head": [30, 1, 16, 31]}


def scales(spec: SoftmaxSpec, rng: np.random.Generator) -> ChannelParameters:
    """A head's scores spread over the table; a head in ten has an extreme factor or shift."""
    factor = rng.integers(1 << (SCORE_FACTOR_BITS - 1), 1 << SCORE_FACTOR_BITS, spec.heads)
    shift = rng.integers(spec.score_bits + 8, spec.score_bits + 12, spec.heads)
    for field, extremes in ((factor, [0, (1 << SCORE_FACTOR_BITS) - 1]), (shift, [0, 63])):
        chosen = rng.random(spec.heads) < 0.1
        field[chosen] = rng.choice(extremes, chosen.sum())
    unused = np.zeros(spec.heads)
    return ChannelParameters(factor=factor, shift=shift, bias=unused, column_sum=unused)


def head_scores(spec: SoftmaxSpec, tokens: int, rng: np.random.Generator) -> np.ndarray:
    """[heads, queries, keys], padded to whole tiles and multiples; rows of equal scores and of the two extremes too."""
    top = 1 << (spec.score_bits - 1)
    queries, keys = -(-tokens // spec.rows) * spec.rows, spec.beats_in(tokens) * spec.lanes
    scores = rng.integers(-top, top, (spec.heads, queries, keys))
    rows = rng.random((spec.heads, queries))
    scores[rows < 0.1] = rng.choice([-top, top - 1])
    scores[rows > 0.9] = rng.choice([-top, top - 1], keys)
    return scores


Part = tuple[dict[str, int], slice, int]
"""A control word, and the queries and the number of keys that it stands for."""


def parts(spec: SoftmaxSpec, tokens: int) -> list[Part]:
    """A layer as a whole, or where it is causal its tiles, each up to its own end."""
    if not spec.causal:
        return [({"tokens": tokens}, slice(None), tokens)]
    ends = range(spec.rows, tokens + spec.rows, spec.rows)
    return [({"tokens": end, "tile": tile}, slice(end - spec.rows, end), end) for tile, end in enumerate(ends)]


def vectors(
    spec: SoftmaxSpec, lengths: list[int], seed: int, *, last_tile: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs for a layer of each length (of causal ones all tiles, or the last), and the outputs of the reference."""
    rng = np.random.default_rng(seed)
    control, scores, words, numerators, mantissas, exponents = [], [], [], [], [], []
    for tokens in lengths:
        parameters, todo = scales(spec, rng), parts(spec, tokens)
        keys = todo[-1][2]
        layer = head_scores(spec, keys, rng)
        exact, factors = spec.reference(layer[..., :keys], parameters)
        for word, queries, seen in todo[-1:] if last_tile else todo:
            control.append(word)
            arriving = layer[:, queries, : spec.beats_in(seen) * spec.lanes]
            leaving = exact[:, queries, :seen]
            leaving = np.pad(leaving, ((0, 0), (0, 0), (0, spec.beats_out(seen) * spec.lanes - seen)))
            for beats, tensor in ((scores, arriving), (numerators, leaving)):
                beats.append(as_beats(np.concatenate(list(tensor), axis=1), spec.rows, spec.lanes))
            mantissas.append(row_beats(factors.mantissa[:, queries].T, spec.rows))
            exponents.append(row_beats(factors.exponent[:, queries].T, spec.rows))
            words.append(np.tile(parameters.words(), exact[:, queries].shape[1] // spec.rows))
    inputs = {
        "control": control,
        "scores": np.concatenate(scores),
        "scales": vars(ChannelParameters.from_words(np.concatenate(words))),
    }
    factors = {"mantissa": np.concatenate(mantissas), "exponent": np.concatenate(exponents)}
    return inputs, {"numerators": np.concatenate(numerators), "factors": factors}


def run(spec: SoftmaxSpec, lengths: list[int], seed: int, *, last_tile: bool = False, **options: Any) -> StreamResult:
    """Runs the hardware, and holds it to the reference."""
    inputs, expected = vectors(spec, lengths, seed, last_tile=last_tile)
    wanted = {"numerators": len(expected["numerators"]), "factors": len(expected["factors"]["mantissa"])}
    result = run_streams(Softmax(spec), inputs, wanted, **options)
    np.testing.assert_array_equal(result.outputs["numerators"], expected["numerators"])
    np.testing.assert_equal(result.outputs["factors"], expected["factors"])
    return result


def pace(spec: SoftmaxSpec, tokens: int) -> list[int]:
    """Cycles from head to head, by their last numerators, without the first, which run ahead of the reciprocals."""
    result = run(spec, [tokens], seed=6)
    ends = result.accepted["numerators"][spec.beats_out(tokens) - 1 :: spec.beats_out(tokens)]
    return sorted(set(np.diff(ends)[spec.heads_ahead + 3 :].tolist()))


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("name", SPECS)
def test_numerators_and_factors_equal_the_reference(name: str, gaps: int | None) -> None:
    run(SPECS[name], LENGTHS.get(name, [1, 1, 1]), seed=1, gaps=gaps)


@pytest.mark.parametrize("name", LENGTHS)
def test_emitted_verilog_equals_the_reference(name: str) -> None:
    run(SPECS[name], LENGTHS[name], seed=2, gaps=2, simulator="verilator")


def test_every_length_follows_every_other() -> None:
    spec = replace(SPEC, rows=4, lanes=2, heads=1, key_multiple=6, value_multiple=4)
    run(spec, [*range(1, 13), *range(12, 0, -1)], seed=3)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latencies_are_the_specs(spec: SoftmaxSpec) -> None:
    tokens = parts(spec, spec.max_length)[0][2]
    result = run(spec, [spec.max_length], seed=4)
    beats, accepted = spec.beats_in(tokens), result.accepted
    # The walk over the keys is a cycle later than scores that come with their control word.
    last_scores = max(accepted["scores"][beats - 1], accepted["control"][0] + beats)
    assert accepted["numerators"][0] - last_scores == spec.latency
    last_numerators = result.accepted["numerators"][spec.beats_out(tokens) - 1]
    assert result.accepted["factors"][0] - last_numerators == spec.factor_latency


@pytest.mark.parametrize(
    ("limit", "lanes", "key_multiple", "value_multiple", "cycles"),
    [("scores", 3, 24, 12, 24), ("numerators", 3, 12, 24, 24), ("both", 1, 5, 4, 60), ("reciprocals", 6, 12, 6, 19)],
)
def test_a_head_takes_the_specs_cycles(
    limit: str, lanes: int, key_multiple: int, value_multiple: int, cycles: int
) -> None:
    spec = SoftmaxSpec(
        rows=4,
        lanes=lanes,
        heads=1,
        max_length=60,
        score_bits=6,
        key_multiple=key_multiple,
        value_multiple=value_multiple,
    )
    assert spec.cycles(60) == cycles
    assert pace(spec, 60) == [cycles]


@pytest.mark.parametrize(
    ("tokens", "lanes", "key_multiple", "value_multiple", "cycles"),
    [(4, 1, 8, 4, 3 * 19), (60, 1, 8, 4, 3 * 64), (60, 2, 4, 16, 3 * 32), (96, 4, 8, 8, 3 * 24), (88, 1, 8, 8, 3 * 88)],
)
def test_a_causal_tile_takes_the_cycles_of_its_place(
    tokens: int, lanes: int, key_multiple: int, value_multiple: int, cycles: int
) -> None:
    spec = SoftmaxSpec(
        rows=4,
        lanes=lanes,
        heads=3,
        max_length=96,
        score_bits=6,
        key_multiple=key_multiple,
        value_multiple=value_multiple,
        causal=True,
    )
    assert spec.cycles(tokens) == cycles
    result = run(spec, [tokens] * 6, seed=10, last_tile=True)  # as of a single token in six layers
    beats = spec.heads * spec.beats_out(tokens)
    ends = result.accepted["numerators"][beats - 1 :: beats]
    ahead = -(-(spec.heads_ahead + 3) // spec.heads)  # tiles whose numerators run ahead of the reciprocals
    assert set(np.diff(ends)[ahead:].tolist()) == {cycles}


def test_tiles_come_from_any_place() -> None:
    spec = replace(SPECS["odd lanes, causal"], max_length=42)
    run(spec, [42, 1, 17, 18, 40, 42, 2], seed=12, last_tile=True)


def test_a_tile_alone_has_the_reference_of_its_prompt() -> None:
    spec = SPECS["odd lanes, causal"]
    rng = np.random.default_rng(11)
    parameters, layer = scales(spec, rng), head_scores(spec, 40, rng)[..., :40]
    numerators, factors = spec.reference(layer, parameters)
    for position in range(0, 40, spec.rows):
        end = position + spec.rows
        tile, tile_factors = spec.reference(layer[:, position:end, :end], parameters, position=position)
        np.testing.assert_array_equal(tile, numerators[:, position:end, :end])
        assert not numerators[:, position:end, end:].any()
        np.testing.assert_array_equal(tile_factors.mantissa, factors.mantissa[:, position:end])
        np.testing.assert_array_equal(tile_factors.exponent, factors.exponent[:, position:end])


def test_layers_follow_without_a_pause() -> None:
    spec = replace(SPEC, lanes=1, max_length=24, key_multiple=24, value_multiple=24)
    result = run(spec, [24, 2, 24], seed=5)
    heads = [spec.heads * -(-tokens // spec.rows) for tokens in (24, 2, 24)]
    last_scores = sum(heads) * 24 - 1
    walk = 1  # it begins as the first scores are there
    assert result.cycles == walk + last_scores + spec.latency + (24 - 1) + spec.factor_latency + 1


def test_a_smaller_store_costs_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, heads=1, max_length=24, key_multiple=24, value_multiple=24)
    assert pace(spec, 24) == [24]
    monkeypatch.setattr(SoftmaxSpec, "store", replace(spec.store, depth=spec.store.depth - 1))
    assert pace(spec, 24) == [25]


def test_numerators_run_ahead_of_factors_by_the_specs_heads() -> None:
    spec = replace(SPEC, heads=8, key_multiple=12, value_multiple=12)
    inputs, expected = vectors(spec, [12], seed=7)
    beats = len(expected["numerators"])
    with pytest.raises(Deadlock) as stop:  # nobody takes factors
        run_streams(Softmax(spec), inputs, {"numerators": beats}, timeout=100)
    assert f"output numerators gave {spec.heads_ahead * spec.beats_out(12)} of {beats} beats" in str(stop.value)


def test_reset_in_the_middle() -> None:
    run(SPECS["odd lanes, causal"], [13, 4], seed=8, reset_at=100)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rows": 3}, "softmax rows must be 1, 2, 4 or 8, not 3"),
        ({"lanes": 0}, "softmax lanes must be at least 1, not 0"),
        ({"heads": 0}, "softmax heads must be at least 1, not 0"),
        ({"max_length": 0}, "softmax max_length must be at least 1, not 0"),
        ({"score_bits": 27}, "softmax score_bits must be 2 to 26, not 27"),
        ({"lanes": 2}, "softmax value_multiple must be a multiple of its 2 lanes, not 3"),
        ({"key_multiple": 0}, "softmax key_multiple must be a multiple of its 1 lanes, not 0"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **change)
    assert str(error.value) == text


def test_impossible_factors_are_refused() -> None:
    unused = np.zeros(2)
    negative = ChannelParameters(factor=np.array([5, -1]), shift=unused, bias=unused, column_sum=unused)
    with pytest.raises(ValueError) as error:
        SPEC.reference(np.zeros((2, 1, 4)), negative)
    assert str(error.value) == "softmax factor must be 0..131071, not -1"


def test_the_table_ends_where_it_is_zero() -> None:
    exact = 127 * np.exp(-np.arange(256) / 16)
    np.testing.assert_array_equal(np.floor(exact + 0.5)[:128], EXPONENTIALS)
    assert not np.floor(exact + 0.5)[128:].any()
    # No entry is so near the middle between two integers that another library's exp could round it the other way.
    assert np.abs(exact % 1 - 0.5).min() > 1e-3


@pytest.mark.parametrize("causal", [False, True])
def test_reference_is_near_the_real_softmax(causal: bool) -> None:
    spec = replace(SPEC, max_length=64, score_bits=21, causal=causal)
    rng = np.random.default_rng(9)
    scores = rng.normal(0, 40_000, (2, 64, 64)).astype(np.int64)
    real_scale = np.array([1 / 20_000, 1 / 70_000])  # to the exponent's unit
    shift = np.array([26, 28])
    factor = np.round(real_scale * 16 * 2.0**shift).astype(np.int64)
    numerators, factors = spec.reference(
        scores, ChannelParameters(factor=factor, shift=shift, bias=np.zeros(2), column_sum=np.zeros(2))
    )
    seen = np.tril(np.ones((64, 64), dtype=bool)) if causal else np.ones((64, 64), dtype=bool)
    logits = np.where(seen, scores * real_scale[:, np.newaxis, np.newaxis], -np.inf)
    real = np.exp(logits - logits.max(axis=-1, keepdims=True))
    # Half a step of the index, 1/32, and half a place of the numerator.
    assert (np.abs(numerators / 127 - real) <= real * 0.032 + 0.5 / 127 + 1e-4).all()
    value = factors.mantissa * 2.0**-factors.exponent
    np.testing.assert_allclose(value, 2**22 / numerators.sum(axis=-1), rtol=2**-15)
    weights = numerators * value[..., np.newaxis] / 2**22
    assert np.abs(weights - real / real.sum(axis=-1, keepdims=True)).max() < 0.05


def test_resources_are_those_of_synthesis() -> None:
    spec = replace(SPEC, lanes=3, heads=12, max_length=512, score_bits=21, key_multiple=24, value_multiple=24)
    assert_mapped((Softmax(one), one.resources) for one in (spec, replace(spec, lanes=1, causal=True)))


def test_causal_queries_may_begin_anywhere() -> None:
    spec = replace(SPEC, heads=2, max_length=16, score_bits=21, causal=True)
    scores = np.random.default_rng(3).integers(-(1 << 20), 1 << 20, (2, 16, 16))
    zero = np.zeros(2, dtype=np.int64)
    scales = ChannelParameters(factor=zero + 90_000, shift=zero + 29, bias=zero, column_sum=zero)
    numerators, factors = spec.reference(scores, scales)
    last, last_factors = spec.reference(scores[:, 11:], scales, position=11)
    np.testing.assert_array_equal(last, numerators[:, 11:])
    np.testing.assert_array_equal(last_factors.mantissa, factors.mantissa[:, 11:])
    assert (last[:, 0, :12] > 0).any()
    assert not last[:, 0, 12:].any()
