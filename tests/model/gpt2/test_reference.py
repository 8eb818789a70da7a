"""The integer reference follows the float32 decoder, is the same token by token, and keeps to the hardware's widths."""

from dataclasses import replace

import numpy as np
import pytest
from hdl.model.layerquantiser import INT16

from hdl.errors import InputError
from hdl.model.floating import FloatDecoder, embed, run_layer
from hdl.model.load import load_model
from hdl.model.quantise import quantise
from hdl.model.reference import Candidates, Decoder, Step, best_candidates
from hdl.model.weights import random_weights

from .networks import SMALL, quantised, texts

QUANTISED = quantised()


def assert_same(found: Step, expected: Step, rows: slice) -> None:
    """Every integer of a step is that of these rows of another; scores only where they are seen."""
    for one, other in zip((*found.layers, found.head), (*expected.layers, expected.head), strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            if name == "scores":
                continue
            wanted = other[name]
            if name == "numerators":
                assert not wanted[:, rows, values.shape[2] :].any(), "what comes later has no part"
                wanted = wanted[:, :, : values.shape[2]]
            wanted = wanted[:, rows] if name in ("numerators", "factors_context") else wanted[rows]
            np.testing.assert_array_equal(values, wanted, err_msg=name)


def test_token_by_token_is_exactly_the_prompt_at_once() -> None:
    (ids,) = texts(SMALL, [20], seed=2)
    whole, steps, parts = Decoder(QUANTISED), Decoder(QUANTISED), Decoder(QUANTISED)
    expected = whole.prefill(ids)
    for place, token in enumerate(ids):
        assert_same(steps.step(token), expected, slice(place, place + 1))
    for part in (slice(0, 7), slice(7, 8), slice(8, 20)):
        assert_same(parts.prefill(ids[part]), expected, part)
    for decoder in (steps, parts):
        assert decoder.tokens == whole.tokens == 20
        for found, wanted in zip(decoder.keys + decoder.values, whole.keys + whole.values, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_every_intermediate_follows_the_float_decoder() -> None:
    weights = random_weights(SMALL, 5)
    model = quantise(weights, texts(SMALL, [20] * 6))
    (ids,) = texts(SMALL, [17], seed=8)
    step = Decoder(model).prefill(ids)
    real = embed(ids, weights)
    np.testing.assert_allclose(model.embed(ids) * model.stream_units[0], real, atol=1.01 * model.stream_units[0])
    for index, layer in enumerate(weights.layers):
        trace, expected = step.layers[index], run_layer(real, layer, SMALL)
        for name, values in expected.items():
            assert trace[name].shape == values.shape
            correlation = np.corrcoef(trace[name].ravel(), values.ravel())[0, 1]
            # Some have a scale for each feature, keys and queries one for each head, which blurs this.
            blurred = name in ("keys", "values", "queries", "context", "norm1", "norm2")
            assert correlation > (0.9 if blurred else 0.99), (index, name)
        for name, unit in zip(("residual1", "residual2"), model.stream_units[2 * index + 1 :], strict=False):
            error = trace[name] * unit - expected[name]
            assert np.sqrt((error**2).mean()) < 0.06 * expected[name].std(), (index, name)
        real = expected["residual2"]


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_last_hidden_state_and_logits_are_near_the_float_decoders(seed: int) -> None:
    spec = replace(load_model("tiny-gpt2"), name="tiny")
    weights = random_weights(spec, seed)
    model = quantise(weights, texts(spec, [64] * 3, seed))
    (ids,) = texts(spec, [48], seed=seed + 10)
    step, decoder = Decoder(model).prefill(ids), FloatDecoder(weights)
    hidden = decoder.extend(ids)
    assert cosine(step.head["norm"] * model.norm_units, hidden).min() > 0.995
    assert cosine(step.logits * model.logit_unit, decoder.logits(hidden)).min() > 0.995


def test_values_stay_within_the_widths_of_the_hardware() -> None:
    bits = {f"sums_{unit}": 27 for unit in ("qkv", "context", "projection", "ffn1", "ffn2")} | {"scores": 26}
    bits |= dict.fromkeys(("keys", "values", "queries", "rows_qkv", "rows_ffn2", "numerators"), 8)
    bits |= dict.fromkeys(
        ("norm1", "context", "projection", "residual1", "norm2", "ffn1", "ffn2", "residual2", "logits"), 16
    )
    bits["sums_head"] = 27
    wide = replace(
        QUANTISED,
        word=np.where(QUANTISED.word < 0, -32768, 32767).astype(np.int16),
        position=np.where(QUANTISED.position < 0, -32768, 32767).astype(np.int16),
    )
    assert set(np.unique(wide.embed(range(20)))) == {-32768, -1, 32767}, "tables are added with saturation"
    step = Decoder(wide).prefill(list(range(20)))
    for trace in (*step.layers, step.head):
        for name, width in bits.items():
            if name in trace:
                assert -(1 << (width - 1)) <= trace[name].min(), name
                assert trace[name].max() < 1 << (width - 1), name
    for trace in step.layers:
        assert trace["activation"].min() >= 0
        assert trace["activation"].max() < 1 << 16
    assert np.abs(step.layers[0]["residual1"]).max() >= INT16, "the stream is saturated"


def test_the_largest_logits_and_the_lower_id_among_equals() -> None:
    logits = np.array([3, -5, 7, 7, -32768, 7, 32767, 3])
    found = best_candidates(logits, 6)
    assert found.ids.tolist() == [6, 2, 3, 5, 0, 7]
    assert found.logits.tolist() == [32767, 7, 7, 7, 3, 3]
    assert best_candidates(logits, 64).ids.tolist() == [6, 2, 3, 5, 0, 7, 1, 4], "the vocabulary has no more"


def test_largest_logits_of_a_large_vocabulary() -> None:
    logits = np.random.default_rng(1).integers(-100, 100, 50_257)
    found = best_candidates(logits, 64)
    expected = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:64]
    assert found.ids.tolist() == expected
    assert found.logits.tolist() == logits[expected].tolist()


@pytest.mark.parametrize("k", [0, -1, 65])
def test_numbers_of_candidates_that_there_are_not(k: int) -> None:
    with pytest.raises(InputError) as error:
        best_candidates(np.zeros(100), k)
    assert str(error.value) == f"top-k must be 1 to 64, not {k}"


def test_offer_is_of_the_last_token() -> None:
    (ids,) = texts(SMALL, [9])
    decoder = Decoder(QUANTISED)
    first, second = decoder.offer(ids[:8], 3), decoder.offer(ids[8:], 3)
    logits = Decoder(QUANTISED).prefill(ids).logits
    for found, row in ((first, logits[7]), (second, logits[8])):
        assert isinstance(found, Candidates)
        assert found.ids.tolist() == best_candidates(row, 3).ids.tolist()
        assert found.logits.tolist() == np.sort(row)[::-1][:3].tolist()


@pytest.mark.parametrize(
    ("taken", "ids", "message"),
    [
        (0, [], "text for model 'small' must have at least 1 token, not 0"),
        (0, [50], "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
        (0, [0] * 21, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
        (20, [0], "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
    ],
)
def test_tokens_that_do_not_suit(taken: int, ids: list[int], message: str) -> None:
    decoder = Decoder(QUANTISED)
    if taken:
        decoder.prefill([0] * taken)
    with pytest.raises(InputError) as error:
        decoder.prefill(ids)
    assert str(error.value) == message
    assert decoder.tokens == taken, "nothing was taken"
