"""The integer reference follows the float32 network, is the same token by token, and keeps to the hardware's widths."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.kernels.linear import exact_matmul
from hdl.model import floating, reference
from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.pooling import MEAN
from hdl.model.quantise import quantise
from hdl.model.reference import Candidates, Decoder, Step, best_candidates
from hdl.model.scaling import INT16
from hdl.model.weights import random_weights

from .networks import SMALL, SMALL_BERT, SMALL_GPT2, quantised, texts

WEIGHTS = {family: random_weights(network, 5) for family, network in SMALL.items()}
MODELS = {family: quantise(weights, texts(SMALL[family], [20] * 6)) for family, weights in WEIGHTS.items()}
BERT, GPT2 = MODELS["bert"], MODELS["gpt2"]

WIDTHS = {f"sums_{name}": 27 for name in ("qkv", "context", "projection", "ffn1", "ffn2", "head")} | {"scores": 26}
WIDTHS |= dict.fromkeys(("keys", "values", "queries", "rows_qkv", "rows_ffn2", "rows_head", "numerators"), 8)
WIDTHS |= dict.fromkeys(("norm1", "context", "projection", "norm2", "ffn1", "ffn2", "norm", "logits"), 16)


def assert_within(trace: reference.Trace, widths: dict[str, int]) -> None:
    """Every intermediate of the trace is of its signed width."""
    for name in widths.keys() & trace.keys():
        assert -(1 << (widths[name] - 1)) <= trace[name].min(), name
        assert trace[name].max() < 1 << (widths[name] - 1), name
    if "activation" in trace:
        assert trace["activation"].min() >= 0
        assert trace["activation"].max() < 1 << 16


def test_integer_products_through_float64_are_exact() -> None:
    generator = np.random.default_rng(1)
    for terms in (1, 77, 4096):
        left = generator.choice([-128, 127, 3], (5, terms)).astype(np.int64)
        right = generator.choice([-127, 127, -1], (terms, 4)).astype(np.int8)
        np.testing.assert_array_equal(exact_matmul(left, right), left @ right.astype(np.int64))


@pytest.mark.parametrize("family", SMALL)
def test_every_intermediate_follows_the_float_network(family: str) -> None:
    network, model, weights = SMALL[family], MODELS[family], WEIGHTS[family]
    (ids,) = texts(network, [17], seed=8)
    integers, real = model.embed(ids), floating.embed(ids, weights)
    assert integers.dtype == np.int16
    np.testing.assert_allclose(model.real(integers, 0), real, atol=1.01 * np.max(model.layers[0].scales["tokens"]))
    for index, layer in enumerate(weights.layers):
        trace = reference.run_layer(model.layers[index], integers, network)
        expected = floating.run_graph(network.layer, real, layer, network)
        for name in network.layer.widths.keys() - {network.layer.input}:
            found = trace[name] * model.layers[index].scales[name]
            assert found.shape == expected[name].shape
            assert np.corrcoef(found.ravel(), expected[name].ravel())[0, 1] > 0.99, (index, name)
        for name in ("residual1", "residual2", network.layer.output):
            error = trace[name] * model.layers[index].scales[name] - expected[name]
            assert np.sqrt((error**2).mean()) < 0.06 * expected[name].std(), (index, name)
        integers, real = trace[network.layer.output].astype(np.int16), expected[network.layer.output]


def test_a_trace_has_what_the_hardware_has_in_the_order_of_the_data() -> None:
    trace = reference.run_layer(BERT.layers[0], BERT.embed([1, 2, 3]), SMALL_BERT)
    linear = {
        name: [f"rows_{name}", f"factors_{name}", f"sums_{name}"] for name in ("qkv", "projection", "ffn1", "ffn2")
    }
    assert list(trace) == [
        *linear["qkv"], "keys", "values", "queries", "scores", "numerators", "factors_context", "sums_context",
        "context", *linear["projection"], "projection", "residual1", "norm1", *linear["ffn1"], "ffn1", "activation",
        *linear["ffn2"], "ffn2", "residual2", "norm2",
    ]  # fmt: skip
    assert list(Decoder(GPT2).prefill([1, 2]).head) == ["norm", "rows_head", "factors_head", "sums_head", "logits"]


def test_values_stay_within_the_widths_of_the_hardware() -> None:
    extreme = np.where(np.random.default_rng(2).random((20, SMALL_BERT.hidden)) < 0.5, -32768, 32767)
    assert_within(reference.run_layer(BERT.layers[0], extreme, SMALL_BERT), WIDTHS | {"residual1": 17, "residual2": 17})


def test_values_of_a_decoder_stay_within_the_widths_of_the_hardware() -> None:
    model = quantised(SMALL_GPT2, 7)
    wide = {name: np.where(table < 0, -32768, 32767).astype(np.int16) for name, table in model.tables.items()}
    model = replace(model, tables=wide)
    assert set(np.unique(model.embed(range(20)))) == {-32768, -1, 32767}, "tables are added with saturation"
    step = Decoder(model).prefill(list(range(20)))
    for trace in (*step.layers, step.head):
        assert_within(trace, WIDTHS | {"residual1": 16, "residual2": 16})
    assert np.abs(step.layers[0]["residual1"]).max() >= INT16, "the stream is saturated"


def test_layers_follow_each_other() -> None:
    tokens = BERT.embed([7, 3, 9])
    outputs = reference.run(BERT, tokens)
    assert [output.dtype for output in outputs] == [np.int16, np.int16]
    alone = reference.run(replace(BERT, layers=BERT.layers[1:]), outputs[0])
    np.testing.assert_array_equal(alone[0], outputs[1])


def test_a_texts_embedding_is_near_the_float_networks() -> None:
    for ids in texts(SMALL_BERT, [1, 2, 20], seed=9):
        found = BERT.pool(reference.run(BERT, BERT.embed(ids))[-1])
        assert found @ MEAN.of(floating.encode(ids, WEIGHTS["bert"])) > 0.99


@pytest.mark.parametrize("shape", [(0, 48), (21, 48), (5, 47), (5,)])
@pytest.mark.parametrize("family", SMALL)
def test_tokens_that_do_not_suit(family: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        reference.run(MODELS[family], np.zeros(shape, dtype=np.int16))
    found = " x ".join(map(str, shape))
    assert str(error.value) == f"tokens for model 'small' must be of shape 1..20 x 48, not {found}"


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
    (ids,) = texts(SMALL_GPT2, [20], seed=2)
    whole, steps, parts = Decoder(GPT2), Decoder(GPT2), Decoder(GPT2)
    expected = whole.prefill(ids)
    for place, token in enumerate(ids):
        assert_same(steps.step(token), expected, slice(place, place + 1))
    for part in (slice(0, 7), slice(7, 8), slice(8, 20)):
        assert_same(parts.prefill(ids[part]), expected, part)
    for decoder in (steps, parts):
        assert decoder.tokens == whole.tokens == 20
        for found, wanted in zip(decoder.cache[:-1], whole.cache[:-1], strict=True):
            assert found.keys() == wanted.keys() == {"keys", "values"}
            for name, values in found.items():
                assert values.shape == (20, 48)
                np.testing.assert_array_equal(values, wanted[name])


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_last_hidden_state_and_logits_are_near_the_float_decoders(seed: int) -> None:
    network = replace(load_model("tiny-gpt2"), name="tiny")
    weights = random_weights(network, seed)
    model = quantise(weights, texts(network, [64] * 3, seed))
    (ids,) = texts(network, [48], seed=seed + 10)
    step, expected = Decoder(model).prefill(ids), FloatDecoder(weights).extend(ids)
    assert model.head is not None
    assert cosine(step.head["norm"] * model.head.scales["norm"], expected["norm"]).min() > 0.995
    assert cosine(step.logits * model.logit_scale, expected["logits"]).min() > 0.995


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
    (ids,) = texts(SMALL_GPT2, [9])
    decoder = Decoder(GPT2)
    first, second = decoder.offer(ids[:8], 3), decoder.offer(ids[8:], 3)
    logits = Decoder(GPT2).prefill(ids).logits
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
def test_texts_that_do_not_suit(taken: int, ids: list[int], message: str) -> None:
    decoder = Decoder(GPT2)
    if taken:
        decoder.prefill([0] * taken)
    with pytest.raises(InputError) as error:
        decoder.prefill(ids)
    assert str(error.value) == message
    assert decoder.tokens == taken, "nothing was taken"
