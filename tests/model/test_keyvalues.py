"""The KV cache in software: it grows by what a trace has, and attention sees all of it."""

import numpy as np

from hdl.model.keyvalues import empty_cache, extend_cache, with_past

from .networks import gpt2

NETWORK = gpt2(
    name="cached", layers=2, hidden=16, heads=2, intermediate=32, max_positions=8, vocabulary=9, norm_eps=1e-5,
    activation="gelu_new",
)  # fmt: skip


def trace(tokens: int, first: int) -> dict[str, np.ndarray]:
    """Keys that count up from ``first``, and values that are their negatives."""
    keys = np.arange(first, first + 16 * tokens).reshape(tokens, 16)
    return {"keys": keys, "values": -keys, "queries": keys}


def test_a_cache_grows_by_keys_and_values_of_its_layer() -> None:
    cache = empty_cache(NETWORK, np.int64)
    extend_cache(cache[0], trace(2, 0))
    extend_cache(cache[0], trace(1, 32))
    np.testing.assert_array_equal(cache[0]["keys"], np.arange(48).reshape(3, 16))
    np.testing.assert_array_equal(cache[0]["values"], -np.arange(48).reshape(3, 16))
    assert [set(layer) for layer in cache] == [{"keys", "values"}] * 2 + [set()]
    assert (cache[1]["keys"].shape, cache[1]["keys"].dtype) == ((0, 16), np.int64)


def test_attention_sees_the_past_first() -> None:
    (cache, *_), own = empty_cache(NETWORK, np.int64), trace(1, 32)
    extend_cache(cache, trace(2, 0))
    keys, values = with_past(NETWORK.attention, own, cache)
    np.testing.assert_array_equal(keys, np.arange(48).reshape(3, 16))
    np.testing.assert_array_equal(values, -keys)
    alone = with_past(NETWORK.attention, own, None)
    assert (alone[0] is own["keys"], alone[1] is own["values"]) == (True, True)
