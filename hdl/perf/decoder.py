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

from ..kernels.embedding import EmbeddingSpec
from ..kernels.fetch import FetchSpec
from ..kernels.kvcache import KvCacheSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.linear import LinearSpec
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.scores import ScoresSpec
from ..kernels.shared import Product, SharedColumnsSpec
from ..kernels.sharing import share
from ..kernels.softmax import SoftmaxSpec
from ..kernels.topk import TopKSpec
from ..kernels.weightedsum import WeightedSumsSpec
from ..memory import ReplaySpec
from .parameters import ParameterBlock, blocks_beats
from .spec import LINEAR_UNITS, PipelineSpec, Unit

__all__ = ["LARGEST", "PRODUCTS", "DecoderSpec", "average_tile", "ring_cycles", "tile_cycles"]


PRODUCTS = (*LINEAR_UNITS, "head")
"""The products that all arrays share, in the order of a token's way."""

STREAM_BITS = 16
"""Bits of the residual stream."""

MEMORY_LATENCY = 80
"""Cycles from a request to its first beat that readers of memory allow for: HBM2's, at the planned clock."""

LARGEST = 64
"""The most candidates for the next token that a decoder gives."""


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
        if self.max_length % self.rows:
            raise ValueError(f"decoder max_length must be a multiple of its {self.rows} rows, not {self.max_length}")
        super().__post_init__()
        _ = self.sharing

    @property
    def qkv_features(self) -> int:
        """Features of a token's keys, values and queries together."""
        return self.hidden + 2 * self.kv_heads * self.head_size

    @property
    def ffn1_features(self) -> int:
        """Features that leave the first feed-forward unit: twice as many where half of them are gates."""
        return self.intermediate * (2 if self.gated else 1)

    @property
    def products(self) -> dict[str, Product]:
        """What all arrays compute together, by the names of `PRODUCTS`; the head's outputs fill whole beats."""
        hidden, inner = self.hidden, self.intermediate
        outputs = {"qkv": self.qkv_features, "projection": hidden, "ffn1": self.ffn1_features, "ffn2": hidden}
        outputs["head"] = ceil(self.vocabulary / self.lanes) * self.lanes
        return {name: Product(inner if name == "ffn2" else hidden, outputs[name]) for name in PRODUCTS}

    @cached_property
    def _sharing(self) -> tuple[tuple[LinearSpec, ...], SharedColumnsSpec]:
        """The linear units, and what joins them."""
        return share([super(DecoderSpec, self)._linear_unit(name) for name in LINEAR_UNITS], [*self.products.values()])

    @property
    def sharing(self) -> SharedColumnsSpec:
        """What lets the linear units work on one product together."""
        return self._sharing[1]

    def _linear_unit(self, name: str) -> LinearSpec:
        return self._sharing[0][LINEAR_UNITS.index(name)]

    @property
    def largest(self) -> int:
        """The most candidates for the next token."""
        return min(LARGEST, self.vocabulary)

    @property
    def softmax(self) -> SoftmaxSpec:
        """Softmax over the scores of a head, each query's up to its own position."""
        return replace(super().softmax, causal=True)

    @property
    def scores_unit(self) -> ScoresSpec:
        """Queries times keys, those of all layers in its RAMs."""
        return replace(super().scores_unit, layers=self.max_layers, ram_style=self._cache_style(super().scores_unit))

    @property
    def sums_unit(self) -> WeightedSumsSpec:
        """Numerators times values, those of all layers in its RAMs."""
        return replace(super().sums_unit, layers=self.max_layers, ram_style=self._cache_style(super().sums_unit))

    def _cache_style(self, unit: ScoresSpec | WeightedSumsSpec) -> str:
        return "ultra" if self.max_layers * unit.banks.bank_stride > 1024 else "block"

    @property
    def norm(self) -> LayerNormSpec:
        """All layer normalisations, of the residual stream."""
        return replace(super().norm, input_bits=STREAM_BITS)

    @property
    def residual1(self) -> ResidualSpec:
        """The addition behind attention; its tokens wait for the tiles between."""
        tiles = min(self.attention_tiles, self.max_tiles)
        return ResidualSpec(rows=self.rows, lanes=self.lanes, depth=tiles * self.tile_beats, output_bits=STREAM_BITS)

    @property
    def residual2(self) -> ResidualSpec:
        """The addition behind the feed-forward part."""
        return replace(super().residual2, output_bits=STREAM_BITS)

    @property
    def attention_tiles(self) -> int:
        """Tiles between the fork in front of the first normalisation and the addition behind attention, all busy.

        Two in each row quantiser and each activation buffer (one read, one arriving), as many as the cache keeps ahead
        between keys stored and numerators read, and one that leaves the projection.
        """
        return 2 * 2 + 2 * 2 + self.scores_unit.banks.ahead + 1

    @property
    def feed_forward_tiles(self) -> int:
        """As an encoder's, and two in the normalisation behind the fork."""
        return super().feed_forward_tiles + 2

    @property
    def loop(self) -> ReplaySpec:
        """The tiles on their way back. A layer's last tile enters before the next layer's first, so what has left must
        find room: a whole prompt."""
        return ResidualSpec(rows=self.rows, lanes=self.lanes, depth=self.max_tiles * self.tile_beats).fifo

    def row_quantise(self, name: str) -> RowQuantiseSpec:
        """The row quantiser in front of a product."""
        return super().row_quantise("qkv" if name == "head" else name)

    def requantise(self, name: str) -> RequantiseSpec:
        """The requantiser behind a product, or behind the weighted sums (``context``)."""
        if name != "head":
            return super().requantise(name)
        features = self.products["head"].outputs
        return replace(super().requantise("projection"), channels=features, group=features)

    @property
    def embedding(self) -> EmbeddingSpec:
        """The word and position tables, and the rows of a tile."""
        return EmbeddingSpec(
            rows=self.rows, lanes=self.lanes, hidden=self.hidden, vocabulary=self.vocabulary,
            positions=self.max_length, latency_cycles=MEMORY_LATENCY,
        )  # fmt: skip

    @property
    def candidates(self) -> TopKSpec:
        """The best tokens by their logits."""
        return TopKSpec(rows=self.rows, lanes=self.lanes, features=self.vocabulary, largest=self.largest)

    @property
    def parameter_width(self) -> int:
        """Parameters that are dealt out a cycle: a beat of the token streams takes so many."""
        return self.lanes

    @property
    def parameters(self) -> tuple[ParameterBlock, ...]:
        """The parameters of a layer, in the order in which they are needed."""
        blocks = {block.name: block for block in super().parameters}
        order: tuple[str, ...] = (
            "norm1",
            "limit_qkv",
            "qkv",
            "scores",
            "context",
            "limit_projection",
            "projection",
            "residual1",
        )
        order += ("norm2", "limit_ffn1", "ffn1", "activation", "limit_ffn2", "ffn2", "residual2")
        return tuple(blocks[name] for name in order)

    @property
    def final_parameters(self) -> tuple[ParameterBlock, ...]:
        """The parameters behind the last layer; the head's are taken once, as they come."""
        head = ParameterBlock("head", self.products["head"].outputs, self.lanes, table=True)
        return (ParameterBlock("norm", self.hidden, self.lanes), ParameterBlock("limit_head", 1, 1), head)

    @property
    def final_beats(self) -> int:
        """Beats of the parameter channel behind the last layer."""
        return blocks_beats(self.final_parameters, self.parameter_width)

    @property
    def fetch(self) -> FetchSpec:
        """The readers of weights and parameters."""
        longest = max(beats for name in (*LINEAR_UNITS, "parameters") for _, beats in sum(self.segments(name), ()))
        return FetchSpec(max_beats=longest, latency_cycles=MEMORY_LATENCY)

    def segments(self, name: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """What a prompt and what a token read of each channel of a linear unit, or of the ``parameters``: (address,
        beats), in beats of 64 bytes. A prompt's layers lie first, then a token's and the head."""
        if name == "parameters":
            both = ((0, self.max_layers * self.parameter_beats + self.final_beats),)
            return both, both
        unit, layers = self.linear(name), self.max_layers
        own = layers * unit.product_beats(0)
        *products, head = (unit.product_beats(1 + index) for index in range(len(PRODUCTS)))
        token = layers * sum(products)
        return ((0, own), (own + token, head)), ((own, token + head),)

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

    @property
    def shared(self) -> SharedColumnsSpec:
        """The arrays of the linear units as they decode."""
        return self.sharing

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
