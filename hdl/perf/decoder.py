"""The geometry of a decoder's pipeline: an encoder's with a causal softmax and a KV cache, which decodes on all arrays.

The prompt runs as in an encoder, but without a barrier: a query needs no key that comes after it. A token is decoded
by `SharedColumnsSpec`: the arrays of the linear units work on one product at a time, while weights stream in from
memory, each of them once.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil
from typing import Any

import numpy as np

from ..kernels.kvcache import KvCacheSpec
from ..kernels.scores import ScoresSpec
from ..kernels.shared import SharedColumnsSpec
from ..kernels.softmax import SoftmaxSpec
from ..kernels.weightedsum import WeightedSumsSpec
from .spec import LINEAR_UNITS, PipelineSpec, Unit

__all__ = ["DecoderSpec", "average_tile", "ring_cycles", "tile_cycles"]


@dataclass(frozen=True, kw_only=True)
class DecoderSpec(PipelineSpec):
    """One layer of a decoder in hardware.

    ``kv_heads`` key and value heads, shared by the ``heads`` query heads; ``gated``: the feed-forward part has three
    matrices; ``vocabulary``: features of the head; ``cache_on_chip``: keys and values of all layers lie in URAM.

    Raises:
        ValueError: as `PipelineSpec`, and for heads that are no multiple of the key and value heads.
    """

    kv_heads: int
    gated: bool
    vocabulary: int
    cache_on_chip: bool

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"decoder heads must be a multiple of its {self.kv_heads} kv_heads, not {self.heads}")
        super().__post_init__()

    @property
    def qkv_features(self) -> int:
        """Features of a token's keys, values and queries together."""
        return self.hidden + 2 * self.kv_heads * self.head_size

    @property
    def ffn1_features(self) -> int:
        """Features that leave the first feed-forward unit: twice as many where half of them are gates."""
        return self.intermediate * (2 if self.gated else 1)

    @property
    def softmax(self) -> SoftmaxSpec:
        """Softmax over the scores of a head, each query's up to its own position."""
        return replace(super().softmax, causal=True)

    @cached_property
    def cache(self) -> KvCacheSpec:
        """Keys and values of all layers, read by as many RAMs at a time as scores and sums have cascades."""
        arrays = self.scores_unit.array, self.sums_unit.array
        return KvCacheSpec(
            features=2 * self.kv_heads * self.head_size,
            layers=self.max_layers,
            max_length=self.max_length,
            banks=sum(array.columns * array.cascades for array in arrays),
            on_chip=self.cache_on_chip,
        )

    @cached_property
    def shared(self) -> SharedColumnsSpec:
        """The arrays of the linear units as they decode."""
        arrays = tuple(self.linear(name).array for name in LINEAR_UNITS)
        return SharedColumnsSpec(arrays=arrays, block=1, max_inputs=max(self.hidden, self.intermediate))

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name in the pipeline, the cache last."""
        return super().units | {"kv_cache": self.cache}

    def tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles a tile takes each array, for a prompt of ``tokens``; attention, up to the tile's place, on average."""
        units: dict[str, SoftmaxSpec | ScoresSpec | WeightedSumsSpec] = {
            "scores": self.scores_unit,
            "softmax": self.softmax,
            "sums": self.sums_unit,
        }
        average = {name: average_tile(unit, tokens) for name, unit in units.items()}
        return self.full_tile_cycles(self.rows) | average

    def full_tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles of a tile that sees ``tokens`` keys."""
        return super().tile_cycles(tokens)

    def run_cycles(self, tokens: int, layers: int) -> int:
        """Cycles of a prompt through ``layers`` layers: its tiles follow each other around the loop, each at the pace
        of the slowest unit, and none earlier than it comes out of the layer before."""
        tiles = ceil(tokens / self.rows)
        busy = tiles * max(self.row_cycles, *self.tile_cycles(tokens).values())
        return int(ring_cycles(tiles, layers, busy, self.tile_latency(tokens)))

    def tile_latency(self, tokens: int) -> int:
        """Cycles of a tile through all units, each of which needs its whole rows."""
        cycles = self.tile_cycles(tokens)
        arrays = sum(cycles[name] for name in (*LINEAR_UNITS, "scores", "sums"))
        return arrays + self.stream_cycles(self.lanes)

    def stream_cycles(self, lanes: int) -> int:
        """Cycles of the beats and latencies of the row-wise units that a tile passes, at ``lanes`` features a beat."""
        rows = sum(self.row_quantise(name).latency for name in LINEAR_UNITS)
        latencies = rows + 2 * self.norm.latency + self.softmax.latency + self.activation.latency
        inputs = [self.linear(name).inputs for name in LINEAR_UNITS] + [self.hidden, self.hidden]
        return latencies + sum(ceil(features / lanes) for features in inputs)

    def token_cycles(self, context: int) -> dict[str, int]:
        """Cycles of a layer for one token behind ``context`` others, weights at hand, by unit; they follow one another.

        A beat of the row-wise units holds ``rows`` x ``lanes`` features of the one token instead of several tokens'.
        """
        products = {
            name: self.shared.product_cycles(self.linear(name).inputs, self.linear(name).outputs) + self.shared.latency
            for name in LINEAR_UNITS
        }
        tile, reading = self.full_tile_cycles(min(context + 1, self.max_length)), self.cache.cycles(context)
        attention = {"scores": max(tile["scores"], reading // 2), "sums": max(tile["sums"], reading // 2)}
        return products | attention | {"rows": self.stream_cycles(self.rows * self.lanes)}

    def head_cycles(self) -> int:
        """Cycles of the head's product for one token."""
        return self.shared.product_cycles(self.hidden, self.vocabulary) + self.shared.latency


def ring_cycles(tiles: int | np.ndarray, rounds: int | np.ndarray, busy: Any, loop: Any) -> Any:
    """Cycles of a prompt of ``tiles`` that goes ``rounds`` times around a ring, whose slowest unit is ``busy`` with all
    of them for so long, and whose units take a single one ``loop`` cycles together. Numbers, or arrays of them."""
    return (rounds - 1) * np.maximum(busy, loop) + loop + busy - busy // tiles


@lru_cache(maxsize=1 << 14)
def average_tile(unit: SoftmaxSpec | ScoresSpec | WeightedSumsSpec, tokens: int) -> int:
    """Cycles of a tile of a prompt of ``tokens``, which sees the keys up to its own place, on average."""
    ends = [min(end, tokens) for end in range(unit.rows, tokens + unit.rows, unit.rows)]
    return ceil(sum(tile_cycles(unit, end) for end in ends) / len(ends))


def tile_cycles(unit: SoftmaxSpec | ScoresSpec | WeightedSumsSpec, tokens: int) -> int:
    """Cycles of a tile that sees ``tokens`` keys, all heads of it."""
    return unit.cycles(tokens) if isinstance(unit, SoftmaxSpec) else unit.cycles(tokens) // unit.tiles(tokens)
