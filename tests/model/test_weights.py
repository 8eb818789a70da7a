"""Random weights: the same for the same seed, and as demanding as trained ones."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating
from hdl.model.load import load_model
from hdl.model.weights import random_weights

from .networks import SMALL, SMALL_BERT, SMALL_GPT2, bert, dense, norm, texts


@pytest.mark.parametrize("family", SMALL)
def test_a_seed_says_all(family: str) -> None:
    first, again, other = (random_weights(SMALL[family], seed) for seed in (1, 1, 2))
    one, same, another = (dense(weights.layers[1], "ffn2").weight for weights in (first, again, other))
    np.testing.assert_array_equal(one, same)
    assert (one != another).any()
    assert first.source == "random weights, seed 1"


SIZES = {"layers": 2, "hidden": 3072, "heads": 3, "intermediate": 80, "max_positions": 20, "vocabulary": 1 << 20}


def test_more_than_a_machine_has_room_for_is_not_drawn() -> None:
    message = (
        "random weights of model '{}' must be at most 2,147,483,648 numbers (8 GiB), not {}; choose a smaller shape"
    )
    with pytest.raises(InputError) as error:
        random_weights(bert("small", **SIZES), 1)
    assert str(error.value) == message.format("small", "3,297,767,424")
    with pytest.raises(InputError) as error:
        random_weights(replace(load_model("gpt2"), max_positions=1 << 22), 1)
    assert str(error.value) == message.format("gpt2", "3,344,757,504")


def test_activations_are_like_a_trained_models() -> None:
    spec = load_model("minilm-l6")
    weights = random_weights(spec, 1)
    (ids,) = texts(spec, [64])
    x = floating.embed(ids, weights)
    for layer in weights.layers:
        trace = floating.run_graph(spec.layer, x, layer, spec)
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


def test_every_part_of_the_graphs_is_drawn() -> None:
    for network in SMALL.values():
        weights = random_weights(network, 1)
        for layer in weights.layers:
            assert layer.keys() == {
                "queries", "keys", "values", "projection", "ffn1", "ffn2", "norm1", "norm2",
            }  # fmt: skip
            for linear in network.operators:
                for part in linear.parts:
                    own = dense(layer, part.name)
                    assert (own.weight.shape, own.bias.shape) == ((part.features, linear.inputs), (part.features,))
                    assert own.weight.dtype == own.bias.dtype == np.float32
        assert {name: len(table) for name, table in weights.tables.items()} == network.embedding.tables
    encoder, decoder = random_weights(SMALL_BERT, 1), random_weights(SMALL_GPT2, 1)
    assert (encoder.embedding.keys(), encoder.head) == ({"norm"}, {})
    assert (decoder.embedding, decoder.head.keys()) == ({}, {"norm", "logits"})
    assert dense(decoder.head, "logits").weight is decoder.tables["word"], "the head is tied"


def test_a_decoders_stream_has_outliers_that_grow() -> None:
    network = load_model("tiny-gpt2")
    weights = random_weights(network, 1)
    x = floating.embed(texts(network, [64])[0], weights)
    spreads = [x.std()]
    for layer in weights.layers:
        largest = np.abs(x).max(axis=0)
        assert largest.max() > 1.8 * np.median(largest)
        x = floating.run_graph(network.layer, x, layer, network)["residual2"]
        spreads.append(x.std())
    assert all(after > 1.2 * before for before, after in pairwise(spreads))
    assert norm(weights.head, "norm").gamma.max() > 3
