"""The float32 network against a plain one, written feature by feature in double precision."""

from math import erf, exp, sqrt

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating
from hdl.model.weights import Norm, random_weights

from .networks import SMALL, texts

WEIGHTS = random_weights(SMALL, 3)


def plain_norm(row: np.ndarray, norm: Norm) -> np.ndarray:
    deviation = sqrt(row.var() + SMALL.norm_eps)
    return (row - row.mean()) / deviation * norm.gamma + norm.beta


def plain_encode(ids: list[int]) -> np.ndarray:
    """The encoder as its definition reads: token by token, head by head, key by key."""
    table = WEIGHTS.embedding
    x = [table.word[i].astype(float) + table.position[place] + table.token_type[0] for place, i in enumerate(ids)]
    x = [plain_norm(row, table.norm) for row in x]
    size = SMALL.head_size
    for layer in WEIGHTS.layers:
        query, key, value = ([d.weight @ row + d.bias for row in x] for d in (layer.query, layer.key, layer.value))
        after = []
        for own, row in zip(query, x, strict=True):
            context = np.zeros(SMALL.hidden)
            for head in range(SMALL.heads):
                part = slice(head * size, (head + 1) * size)
                weights = [exp(own[part] @ other[part] / sqrt(size)) for other in key]
                for weight, other in zip(weights, value, strict=True):
                    context[part] += weight / sum(weights) * other[part]
            attended = plain_norm(row + layer.projection.weight @ context + layer.projection.bias, layer.norm1)
            inner = layer.ffn1.weight @ attended + layer.ffn1.bias
            activated = np.array([v * (1 + erf(v / sqrt(2))) / 2 for v in inner])
            after.append(plain_norm(attended + layer.ffn2.weight @ activated + layer.ffn2.bias, layer.norm2))
        x = after
    return np.stack(x)


def test_encoder_is_that_of_the_definition() -> None:
    for ids in texts(SMALL, [1, 2, 9]):
        found = floating.encode(ids, WEIGHTS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, plain_encode(ids), atol=2e-5)


def test_gelu_is_exact() -> None:
    x = np.linspace(-12, 12, 10_001, dtype=np.float32)
    exact = np.array([v * (1 + erf(v / sqrt(2))) / 2 for v in x.tolist()])
    assert np.abs(floating.gelu(x) - exact).max() < 2e-6


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "text for model 'small' must have at least 1 token, not 0"),
        ([1] * 21, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
        ([1, 50], "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
        ([1, -1], "token ids for model 'small' must be 0..49, not -1; is it another tokeniser's?"),
    ],
)
def test_texts_that_do_not_suit(ids: list[int], message: str) -> None:
    with pytest.raises(InputError) as error:
        floating.encode(ids, WEIGHTS)
    assert str(error.value) == message
