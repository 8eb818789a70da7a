"""Random weights: the same for the same seed, and as demanding as trained ones."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating
from hdl.model.load import load_model
from hdl.model.weights import random_weights
from hdl.model.weights import random_weights as random_decoder

from .networks import SMALL, texts


def test_a_seed_says_all() -> None:
    first, again, other = (random_weights(SMALL, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.layers[1].ffn2.weight, again.layers[1].ffn2.weight)
    assert (first.layers[1].ffn2.weight != other.layers[1].ffn2.weight).any()
    assert first.source == "random weights, seed 1"


def test_more_than_a_machine_has_room_for_is_not_drawn() -> None:
    message = (
        "random weights of model '{}' must be at most 2,147,483,648 numbers (8 GiB), not {}; choose a smaller shape"
    )
    with pytest.raises(InputError) as error:
        random_weights(replace(SMALL, hidden=3072, vocabulary=1 << 20), 1)
    assert str(error.value) == message.format("small", "3,297,767,424")
    with pytest.raises(InputError) as error:
        random_decoder(replace(load_model("gpt2"), max_positions=1 << 22), 1)
    assert str(error.value) == message.format("gpt2", "3,344,757,504")


def test_activations_are_like_a_trained_models() -> None:
    spec = load_model("minilm-l6")
    weights = random_weights(spec, 1)
    (ids,) = texts(spec, [64])
    x = floating.embed(ids, weights.embedding, spec)
    for layer in weights.layers:
        trace = floating.run_layer(x, layer, spec)
        query, key = (trace[name].reshape(64, spec.heads, -1).transpose(1, 0, 2) for name in ("queries", "keys"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(spec.head_size)
        strongest = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attention = (strongest / strongest.sum(axis=-1, keepdims=True)).max(axis=-1)
        # Attention prefers some keys (flat would be 1/64), the branches matter beside what goes past them, and outlier
        # features are several times larger than the others.
        assert 0.1 < attention.mean() < 0.8
        assert 0.2 < trace["projection"].std() / x.std() < 2
        assert 0.2 < trace["ffn2"].std() / trace["norm1"].std() < 2
        largest = np.abs(trace["norm2"]).max(axis=0)
        assert largest.max() > 3 * np.median(largest)
        x = trace["norm2"]
