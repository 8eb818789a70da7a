"""The geometry of a decoder's pipeline: an encoder's with a causal softmax and a KV cache, which decodes on all arrays.

The prompt runs as in an encoder, but without a barrier: a query needs no key that comes after it. A token is decoded
by `SharedColumnsSpec`: the arrays of the linear units work on one product at a time, while weights stream in from
memory, each of them once.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np

from ...kernels.kvcache import KvCacheSpec
from ...kernels.shared import SharedColumnsSpec
from ...kernels.weights import block_words, channel_rams
from ...model.architecture import Graph, Linear
from .arrays import ArrayShape
from .formulas import (
    attention_cycles,
    average_tile,
    block_divisor,
    busy_cycles,
    filling,
    loads,
    prompt_cycles,
    reload_cycles,
    ring_cycles,
    tile_latency,
)
from .parameter_blocks import padded
from .pipeline_spec import PipelineSpec, Unit

MEMORY_LATENCY = 80
"""Cycles from a request to its first beat that readers of memory allow for: HBM2's, at the planned clock."""

__all__ = ["MEMORY_LATENCY", "DecoderLayerSpec"]


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
        return super().tile_cycles(self.rows) | average

    def estimated_prompt_cycles(self, tokens: int, layers: int, copies: int = 1) -> int:
        """Cycles of a prompt through ``layers`` layers, in a ring of so many copies of this one: its tiles follow each
        other around the ring, each at the pace of the unit that is slowest with it, and none earlier than it comes out
        of the layer before."""
        units = self.linear_units
        found = ring_cycles(
            ceil(tokens / self.rows), layers // copies, busy=self.busy_cycles(tokens),
            loop=copies * self.tile_latency(tokens),
            reload=reload_cycles(
                [unit.layer_beats for unit in units], [unit.cycles(1) for unit in units], self.weight_layers
            ),
        )  # fmt: skip
        return int(found)

    def busy_cycles(self, tokens: int) -> int:
        """See `busy_cycles`, of a prompt of ``tokens``."""
        pace = max(self.row_cycles, *(unit.cycles(1) for unit in self.linear_units))
        attention = [prompt_cycles(unit, tokens) for unit in self.attention_units.values()]
        return int(busy_cycles(ceil(tokens / self.rows), pace, np.max(attention, axis=0)))

    def tile_latency(self, tokens: int) -> int:
        """See `tile_latency`, of a prompt of ``tokens``."""
        cycles, latencies = self.tile_cycles(tokens), [unit.array.latency for unit in self.array_units]
        return int(tile_latency([cycles[name] for name in self.arrays], latencies, self.stream_cycles))

    @cached_property
    def parameter_cycles(self) -> int:
        """Cycles in which the one channel deals a layer's parameters out, a table entry by entry."""
        words = [padded(block, self.parameter_width) for block in self.sections["layer"].parameters if not block.table]
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
        tile = super().tile_cycles(min(context + 1, self.max_length))
        arrays = {"scores": self.scores_unit.array, "sums": self.sums_unit.array}
        attention = attention_cycles(
            [tile[name] for name in arrays], [array.latency for array in arrays.values()], self.cache.cycles(context),
            self.heads,
        )  # fmt: skip
        stages = products | dict(zip(arrays, map(int, attention), strict=True)) | {"rows": self.stream_cycles}
        layer, rest = sum(stages.values()), self.head_cycles() + self.end_cycles
        return stages | {"loading": int(self.loading_wait(layer, products[self.products[-1]], rest, self.token_load))}

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
        after = self.layer.operators[self.layer.operators.index(self.table) + 1 :]
        units = (unit.spec for operator in after for unit in self.sections["layer"].units[operator.name])
        return self.activation.latency + self.activation.cycles() + sum(unit.tile_latency for unit in units)

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
        first = self.products[0]
        behind = self.norm, self.row_quantise(first), self.requantise(first)
        return 2 * self.tile_beats + MEMORY_LATENCY + sum(unit.tile_latency for unit in behind)

    def head_cycles(self) -> int:
        """Cycles of the head's product for one token."""
        return self.shared.product_cycles(self.hidden, self.vocabulary) + self.shared.latency

    @property
    def tail_cycles(self) -> int:
        """Cycles of the head behind a prompt: no fewer than those in which its weights come that the RAMs do not hold
        before."""
        return max(self.head_cycles(), int(self._loads[1]))
