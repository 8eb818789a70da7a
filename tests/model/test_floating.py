"""The float32 networks: BERT against a plain one, written feature by feature in double precision; GPT-2 against the
transformers library, at once and with the cache."""

from math import erf, exp, sqrt
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating
from hdl.model.checkpoint import load_checkpoint
from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.weights import NormWeights, random_weights

from .networks import SMALL_BERT, SMALL_GPT2, dense, norm, texts
from .transformers_model import GOLDEN, PROMPT, TOKENS, build

WEIGHTS = random_weights(SMALL_BERT, 3)


def plain_norm(row: np.ndarray, own: NormWeights) -> np.ndarray:
    deviation = sqrt(row.var() + SMALL_BERT.norm_eps)
    return (row - row.mean()) / deviation * own.gamma + own.beta


def plain_encode(ids: list[int]) -> np.ndarray:
    """The encoder as its definition reads: token by token, head by head, key by key."""
    word, position, kind = (WEIGHTS.tables[name] for name in ("word", "position", "token_type"))
    x = [word[i].astype(float) + position[place] + kind[0] for place, i in enumerate(ids)]
    x = [plain_norm(row, norm(WEIGHTS.embedding, "norm")) for row in x]
    size = SMALL_BERT.head_size
    for layer in WEIGHTS.layers:
        parts = (dense(layer, name) for name in ("queries", "keys", "values"))
        query, key, value = ([part.weight @ row + part.bias for row in x] for part in parts)
        projection, ffn1, ffn2 = (dense(layer, name) for name in ("projection", "ffn1", "ffn2"))
        after = []
        for own, row in zip(query, x, strict=True):
            context = np.zeros(SMALL_BERT.hidden)
            for head in range(SMALL_BERT.heads):
                part = slice(head * size, (head + 1) * size)
                weights = [exp(own[part] @ other[part] / sqrt(size)) for other in key]
                for weight, other in zip(weights, value, strict=True):
                    context[part] += weight / sum(weights) * other[part]
            attended = plain_norm(row + projection.weight @ context + projection.bias, norm(layer, "norm1"))
            inner = ffn1.weight @ attended + ffn1.bias
            activated = np.array([v * (1 + erf(v / sqrt(2))) / 2 for v in inner])
            after.append(plain_norm(attended + ffn2.weight @ activated + ffn2.bias, norm(layer, "norm2")))
        x = after
    return np.stack(x)


def test_encoder_is_that_of_the_definition() -> None:
    for ids in texts(SMALL_BERT, [1, 2, 9]):
        found = floating.encode(ids, WEIGHTS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, plain_encode(ids), atol=2e-5)


def assert_agrees(folder: Path, expected: dict[str, np.ndarray]) -> None:
    """What the library computed with the checkpoint in a folder is what this project does."""
    weights = load_checkpoint(folder / "model.safetensors", load_model(str(folder))).weights
    decoder = FloatDecoder(weights)
    found = decoder.extend(TOKENS)
    np.testing.assert_allclose(found["norm"], expected["hidden"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-4, atol=1e-4)
    decoder = FloatDecoder(weights)
    parts = [TOKENS[:PROMPT], *([token] for token in TOKENS[PROMPT:])]
    steps = np.concatenate([decoder.extend(part)["logits"] for part in parts])
    np.testing.assert_allclose(steps, expected["steps"], rtol=1e-4, atol=1e-4)
    assert decoder.tokens == len(TOKENS)


def test_what_transformers_computed_once() -> None:
    assert_agrees(GOLDEN, dict(np.load(GOLDEN / "outputs.npz")))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("seed", [2, 3])
def test_what_transformers_computes_now(tmp_path: Path, seed: int, with_head: bool) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert_agrees(tmp_path, build(tmp_path, seed, with_head=with_head))


def test_parts_of_any_length_are_the_whole() -> None:
    weights = random_weights(SMALL_GPT2, 3)
    (ids,) = texts(SMALL_GPT2, [20])
    parts = FloatDecoder(weights)
    expected = FloatDecoder(weights).extend(ids)["logits"]
    found = np.concatenate([parts.extend(part)["logits"] for part in (ids[:7], ids[7:8], ids[8:])])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_every_tensor_of_a_graph_is_in_its_trace(family: str) -> None:
    network = {"bert": SMALL_BERT, "gpt2": SMALL_GPT2}[family]
    weights = random_weights(network, 3)
    x = floating.embed([3, 1, 4], weights)
    trace = floating.run_graph(network.layer, x, weights.layers[0], network)
    assert {name: values.shape[1] for name, values in trace.items()} == network.layer.widths
    assert list(trace) == list(network.layer.widths), "in the order of the data"
    assert {values.shape[0] for values in trace.values()} == {3}
    assert {values.dtype for values in trace.values()} == {np.dtype(np.float32)}


UNSUITABLE = [
    ([], "text for model 'small' must have at least 1 token, not 0"),
    ([1] * 21, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
    ([1, 50], "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
    ([3, -1], "token ids for model 'small' must be 0..49, not -1; is it another tokeniser's?"),
]


@pytest.mark.parametrize(("ids", "message"), UNSUITABLE)
def test_texts_that_do_not_suit(ids: list[int], message: str) -> None:
    with pytest.raises(InputError) as error:
        floating.encode(ids, WEIGHTS)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("taken", "ids", "message"),
    [
        *((0, *one) for one in UNSUITABLE),
        (15, [0] * 6, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
    ],
)
def test_tokens_that_do_not_suit_a_decoder(taken: int, ids: list[int], message: str) -> None:
    decoder = FloatDecoder(random_weights(SMALL_GPT2, 1))
    if taken:
        decoder.extend([0] * taken)
    with pytest.raises(InputError) as error:
        decoder.extend(ids)
    assert str(error.value) == message
    assert decoder.tokens == taken, "nothing was taken"
