"""The geometry of a decoder's pipeline: an encoder's with a causal softmax and a KV cache, which decodes on all arrays.

The prompt runs as in an encoder, but without a barrier: a query needs no key that comes after it. A token is decoded
by `SharedColumnsSpec`: the arrays of the linear units work on one product at a time, while weights stream in from
memory, each of them once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil, gcd
from typing import Any

import numpy as np

from ...channel import BEAT_BYTES
from ...dsp import CASCADE
from ...kernels.kvcache import KvCacheSpec
from ...kernels.scores import ScoresSpec
from ...kernels.shared import SharedColumnsSpec
from ...kernels.softmax import SoftmaxSpec
from ...kernels.weightedsum import WeightedSumsSpec
from ...kernels.weights import block_words, channel_rams
from ...model.architecture import Add, Graph, Linear
from .arrays import ArrayShape
from .parameter_blocks import padded
from .pipeline_spec import PipelineSpec, Unit

MEMORY_LATENCY = 80
"""Cycles from a request to its first beat that readers of memory allow for: HBM2's, at the planned clock."""

AttentionUnit = SoftmaxSpec | ScoresSpec | WeightedSumsSpec

LOOP_CYCLES = 24
"""Of what joins units: three in front of each product and behind it, forks, the FIFO of the loop."""

__all__ = [
    "MEMORY_LATENCY",
    "AttentionUnit",
    "DecoderLayerSpec",
    "attention_cycles",
    "average_tile",
    "block_divisor",
    "filling",
    "held_weights",
    "loads",
    "prompt_cycles",
    "ring_cycles",
    "tiles_cycles",
    "unheld_bytes",
]


@dataclass(frozen=True, kw_only=True)
class DecoderLayerSpec(PipelineSpec):
    """One layer of a decoder in hardware.

    ``head``: the graph after the last layer; ``cache_on_chip``: keys and values of all layers lie in URAM; where they
    do not, ``cache_channels`` of memory for keys, and as many for values: 0 where they share those of the weights.

    Raises:
        ValueError: as `PipelineSpec`.
    """

    head: Graph
    cache_on_chip: bool
    cache_channels: int = 0

    def __post_init__(self) -> None:
        if self.cache_channels < 0:
            raise ValueError(f"decoder cache_channels must be at least 0, not {self.cache_channels}")
        if self.max_length % self.rows:
            raise ValueError(f"decoder max_length must be a multiple of its {self.rows} rows, not {self.max_length}")
        if self.ffn_lanes != self.lanes:
            raise ValueError(f"decoder ffn_lanes must be its {self.lanes} lanes, not {self.ffn_lanes}")
        for name in self.products:
            depth = 8 * self.arrays[name].cascades
            if self.hidden % depth or self.intermediate % depth:
                raise ValueError(
                    f"decoder hidden sizes must be multiples of the depth {depth} of each array, which all compute, "
                    f"not {self.hidden} and {self.intermediate}"
                )
        super().__post_init__()

    @property
    def vocabulary(self) -> int:
        """Outputs of the head."""
        return self.head.of(Linear)[0].outputs

    def weight_block(self, name: str, shape: ArrayShape) -> int:
        """Words of each RAM of a linear unit that lie side by side in memory, whose beats they are to fill: tokens wait
        for weights. All products' words come in such blocks."""
        rams = channel_rams(shape.rams, self.channels_of(name))
        return block_words(rams, block_divisor(self.hidden, self.intermediate, shape.cascades))

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
    def parameter_width(self) -> int:
        """Parameters that are dealt out a cycle: a beat of the token streams takes so many."""
        return self.lanes

    @property
    def cache_ports(self) -> int:
        """Ports of keys and values in off-chip memory; 0 where they share those of the weights."""
        return 0 if self.cache_on_chip else 2 * self.cache_channels

    @cached_property
    def shared(self) -> SharedColumnsSpec:
        """The arrays of the linear units as they decode."""
        arrays = tuple(unit.array for unit in self.linear_units)
        return SharedColumnsSpec(arrays=arrays, block=1, max_inputs=max(self.hidden, self.intermediate))

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name in the pipeline, the cache last."""
        return super().units | {"kv_cache": self.cache}

    def tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles a tile takes each array, for a prompt of ``tokens``; attention, up to the tile's place, on average."""
        average = {name: average_tile(unit, tokens) for name, unit in self.attention_units.items()}
        return self.full_tile_cycles(self.rows) | average

    @property
    def attention_units(self) -> dict[str, AttentionUnit]:
        """The units whose cycles depend on the keys that a tile sees."""
        return {"scores": self.scores_unit, "softmax": self.softmax, "sums": self.sums_unit}

    def full_tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles of a tile that sees ``tokens`` keys."""
        return super().tile_cycles(tokens)

    def estimated_prompt_cycles(self, tokens: int, layers: int) -> int:
        """Cycles of a prompt through ``layers`` layers: its tiles follow each other around the loop, each at the pace
        of the unit that is slowest with it, and none earlier than it comes out of the layer before."""
        return int(ring_cycles(ceil(tokens / self.rows), layers, self.busy_cycles(tokens), self.tile_latency(tokens)))

    def busy_cycles(self, tokens: int) -> int:
        """Cycles of all tiles of a prompt, each in the unit that is slowest with it: the first in a linear unit, those
        that see many keys in one of attention."""
        same = self.full_tile_cycles(self.rows)
        pace = max(self.row_cycles, *(same[name] for name in self.products))
        attention = [prompt_cycles(unit, tokens) for unit in self.attention_units.values()]
        return int(np.maximum(pace, np.max(attention, axis=0)).sum())

    def tile_latency(self, tokens: int) -> int:
        """Cycles of a tile through all units, each of which needs its whole rows."""
        cycles = self.tile_cycles(tokens)
        arrays = sum(cycles[name] for name in self.arrays) + sum(unit.array.latency for unit in self.array_units)
        return arrays + self.stream_cycles

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles that a tile spends between the arrays: the beats that what needs whole rows takes, and latencies."""
        rows = [self.row_quantise(name) for name in self.products]
        requantised = [self.requantise(name).latency for name in (*self.products, self.attention.name)]
        latencies = sum(one.latency for one in rows) + sum(requantised) + 2 * self.norm.latency
        latencies += self.softmax.latency + self.softmax.factor_latency + self.activation.latency
        latencies += 2 * self.residual(self.layer.of(Add)[0].name).latency + LOOP_CYCLES
        return latencies + sum(one.beats for one in rows) + 2 * self.norm.beats

    @cached_property
    def parameter_cycles(self) -> int:
        """Cycles in which the one channel deals a layer's parameters out, a table entry by entry."""
        words = [padded(block, self.parameter_width) for block in self.parameters if not block.table]
        return sum(words) // self.parameter_width + self.activation.entries

    def token_cycles(self, context: int) -> dict[str, int]:
        """Cycles of a layer for one token behind ``context`` others, weights at hand, by unit; they follow one another,
        but weighted sums head by head behind the scores.

        The token is a row of a tile, so the row-wise units take as long as for all rows of it. Where parameters come
        later than all of that, the units wait for them.
        """
        products = {
            name: self.shared.product_cycles(self.linear(name).inputs, self.linear(name).outputs) + self.shared.latency
            for name in self.products
        }
        tile = self.full_tile_cycles(min(context + 1, self.max_length))
        arrays = {"scores": self.scores_unit.array, "sums": self.sums_unit.array}
        attention = attention_cycles(
            [tile[name] for name in arrays], [array.latency for array in arrays.values()], self.cache.cycles(context),
            self.heads,
        )  # fmt: skip
        stages = products | dict(zip(arrays, map(int, attention), strict=True)) | {"rows": self.stream_cycles}
        layer, rest = sum(stages.values()), self.head_cycles() + self.end_cycles
        return stages | {"loading": int(self.loading_wait(layer, products["ffn2"], rest, self.token_load))}

    def loading_wait(self, layer: Any, last_product: Any, rest: Any, load: Any) -> Any:
        """Cycles that a token waits in each layer, which takes so many cycles, the last product's among them: for
        parameters, where behind the last layer's table it still has its way to go; or for its weights, which fill the
        RAMs in ``load`` cycles, the head's among them, which ends with the ``rest``. Numbers, or arrays of them."""
        late = self.max_layers * (self.parameter_cycles - layer) + self.behind_table + last_product
        late = np.maximum(late, load - self.max_layers * layer - rest)
        return np.maximum(0, -(-late // self.max_layers))

    @cached_property
    def behind_table(self) -> int:
        """Cycles of a token between the activation's table and the end of its layer, but the last product's."""
        rows = self.row_quantise("ffn2")
        last = self.requantise("ffn2").latency + self.residual("residual2").latency
        return self.activation.latency + self.activation.cycles() + rows.latency + rows.beats + last

    @cached_property
    def weight_products(self) -> list[tuple[int, int, int]]:
        """The products of a token: inputs, outputs, and how often; the head last."""
        units = self.linear_units
        return [*((unit.inputs, unit.outputs, self.max_layers) for unit in units), (self.hidden, self.vocabulary, 1)]

    @cached_property
    def _loads(self) -> tuple[float, float]:
        """As `loads`, of the linear units."""
        units = self.linear_units
        found = loads(
            self.weight_products,
            columns=self.shared.columns,
            depths=np.array([unit.array.depth for unit in units]),
            beats_a_word=np.array([unit.load_cycles(0) / unit.ram_words[0] for unit in units]),
            held=np.array([unit.ram_depth for unit in units]),
        )
        return float(found[0]), float(found[1])

    @property
    def token_load(self) -> int:
        """Cycles in which the slowest of the units' channels fills the RAMs with the weights of a token."""
        return int(self._loads[0])

    @property
    def filling(self) -> float:
        """As `filling`, of the linear units."""
        return float(filling(self.weight_products, sum(self.channels), self._loads[0]))

    @property
    def end_cycles(self) -> int:
        """Cycles in front of the first layer, where a token becomes a row, and behind the last, where the last row is
        normalised and quantised for the head."""
        rows = self.row_quantise("qkv")
        behind = self.norm.latency + rows.latency + self.norm.beats + rows.beats + self.requantise("qkv").latency
        return 2 * self.tile_beats + MEMORY_LATENCY + behind

    def head_cycles(self) -> int:
        """Cycles of the head's product for one token."""
        return self.shared.product_cycles(self.hidden, self.vocabulary) + self.shared.latency

    @property
    def tail_cycles(self) -> int:
        """Cycles of the head behind a prompt: no fewer than those in which its weights come that the RAMs do not hold
        before."""
        return max(self.head_cycles(), int(self._loads[1]))


def loads(products: Sequence[tuple[int, int, int]], *, columns: Any, depths: Any, beats_a_word: Any, held: Any) -> Any:
    """Beats of int8 weights in the slowest unit's channels for all shared ``products``, (inputs, outputs, how often),
    and those of the last that are behind the words ``held`` in its RAMs. Arrays [units] or [units, cases], ``columns``
    of all together.
    """
    words = [times * -(-outputs // columns) * -(-inputs // depths) for inputs, outputs, times in products]
    behind = np.maximum(0, words[-1] - held) * beats_a_word
    return (sum(words) * beats_a_word).max(axis=0), behind.max(axis=0)


def held_weights(columns: Any, cascades: Any, depths: Any) -> Any:
    """Weights that the RAMs of all arrays hold, of so many words each. Arrays [units] or [units, cases]."""
    return (columns * cascades * CASCADE * depths).sum(axis=0)


def unheld_bytes(head: Any, held: Any) -> Any:
    """Bytes of the head's weights behind those that the RAMs hold already. Numbers, or arrays of them."""
    return np.maximum(0.0, head - held)


def filling(products: Sequence[tuple[int, int, int]], channels: Any, load: Any) -> Any:
    """Share of what so many memory channels could bring that a token's weights are, which are loaded in ``load``
    cycles: the unit whose channels have the most beats sets the pace, and not every beat is full. Products as `loads`
    has them; numbers, or arrays of them."""
    weights = sum(inputs * outputs * times for inputs, outputs, times in products)
    return weights / (BEAT_BYTES * channels * load)


def block_divisor(hidden: int, intermediate: int, cascades: Any) -> Any:
    """What the words of a block of weights must divide, so that all products are of whole blocks: the words of each
    product in each RAM of an array of so many cascades are a multiple of it. A number, or an array of them."""
    return gcd(hidden, intermediate) // (CASCADE * cascades)


def attention_cycles(full: Any, latencies: Any, reading: Any, heads: int) -> list[Any]:
    """Cycles of a token's scores and weighted sums, which take ``full`` cycles each for all heads, and no fewer than
    half of the cycles for ``reading`` keys and values; with the latencies of their arrays. Numbers, or arrays of
    them."""
    scores, sums = (np.maximum(one, reading // 2) for one in full)
    busy = overlapped(scores, sums, heads)
    return [one + latency for one, latency in zip(busy, latencies, strict=True)]


def overlapped(scores: Any, sums: Any, heads: int) -> tuple[Any, Any]:
    """Cycles of a token's scores and weighted sums, of so many each alone, as one comes behind the other: of the faster
    one a head counts. Numbers, or arrays of them."""
    slower = scores >= sums
    return np.where(slower, scores, -(-scores // heads)), np.where(slower, -(-sums // heads), sums)


def ring_cycles(tiles: int | np.ndarray, rounds: int | np.ndarray, busy: Any, loop: Any) -> Any:
    """Cycles of a prompt of ``tiles`` that goes ``rounds`` times around a ring, whose slowest unit is ``busy`` with all
    of them for so long, and whose units take a single one ``loop`` cycles together. Numbers, or arrays of them."""
    return (rounds - 1) * np.maximum(busy, loop) + loop + busy - busy // tiles


@lru_cache(maxsize=1 << 14)
def average_tile(unit: AttentionUnit, tokens: int) -> int:
    """Cycles of a tile of a prompt of ``tokens`` on average."""
    cycles = prompt_cycles(unit, tokens)
    return -(-int(cycles.sum()) // len(cycles))


def prompt_cycles(unit: AttentionUnit, tokens: int) -> np.ndarray:
    """Cycles of each tile of a prompt of ``tokens``, which sees the keys up to its own place."""
    return tiles_cycles(unit, tuple(min(end, tokens) for end in range(unit.rows, tokens + unit.rows, unit.rows)))


@lru_cache(maxsize=1 << 14)
def tiles_cycles(unit: AttentionUnit, seen: tuple[int, ...]) -> np.ndarray:
    """Cycles of tiles that see so many keys each, all heads of them. They are kept: geometries that are compared have
    most of their units in common."""
    one = unit.cycles if isinstance(unit, SoftmaxSpec) else unit.tile_cycles
    return np.array([one(tokens) for tokens in seen])
