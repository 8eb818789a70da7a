"""Random weights: the same for the same seed, and as demanding as trained ones."""

import numpy as np

from hdl.model import floating
from hdl.model.spec import load_model
from hdl.model.weights import random_weights

from .networks import SMALL, texts


def test_a_seed_says_all() -> None:
    first, again, other = (random_weights(SMALL, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.layers[1].ffn2.weight, again.layers[1].ffn2.weight)
    assert (first.layers[1].ffn2.weight != other.layers[1].ffn2.weight).any()
    assert first.source == "random weights, seed 1"


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
