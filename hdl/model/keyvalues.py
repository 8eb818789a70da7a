"""The KV cache of a decoder in software, in real numbers or in integers: keys and values by their tensors' names."""

from typing import Any

import numpy as np

from .architecture import Attention
from .network import Network

__all__ = ["KeyValues", "empty_cache", "extend_cache", "tokens_before", "with_past"]

KeyValues = dict[str, np.ndarray]
"""Keys and values of a layer [tokens, features] by the names of their tensors."""


def empty_cache(network: Network, dtype: Any) -> list[KeyValues]:
    """The keys and values of no tokens, layer by layer; and of the head, which has none."""
    own = network.attention
    empty = np.zeros((0, own.kv_heads * own.head_size), dtype=dtype)
    return [*({own.keys: empty, own.values: empty} for _ in range(network.layers)), {}]


def extend_cache(cache: KeyValues, trace: dict[str, np.ndarray]) -> None:
    """Adds the keys and values in a trace to a layer's."""
    for name, past in cache.items():
        cache[name] = np.concatenate([past, trace[name]])


def tokens_before(past: KeyValues | None) -> int:
    """The number of tokens whose keys and values these are."""
    return len(next(iter(past.values()))) if past else 0


def with_past(
    attention: Attention, trace: dict[str, np.ndarray], past: KeyValues | None
) -> tuple[np.ndarray, np.ndarray]:
    """The keys and the values that attention sees: those of the tokens before, and those in the trace."""
    if not past:
        return trace[attention.keys], trace[attention.values]
    keys, values = (np.concatenate([past[name], trace[name]]) for name in (attention.keys, attention.values))
    return keys, values
