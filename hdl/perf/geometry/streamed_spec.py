"""The geometry of a design for layers too large to lie on chip: one array, which computes one product after the other.

The activations of a block of tiles are held on chip, and the weights of a product stream through the array once a
block. Attention has arrays of its own, which hold one head's keys and values at a time.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from ...kernels.activation import ActivationSpec
from ...kernels.arrayspec import ArraySpec
from ...kernels.kvcache import KvCacheSpec
from ...kernels.layernorm import LayerNormSpec
from ...kernels.requantise import RequantiseSpec
from ...kernels.residual import ResidualSpec
from ...kernels.rowquantise import RowQuantiseSpec
from ...kernels.scores import ScoresSpec
from ...kernels.shared import MAX_TERMS, SharedColumnsSpec
from ...kernels.softmax import SoftmaxSpec
from ...kernels.weightedsum import WeightedSumsSpec
from ...model.network import Network
from ...resources import Resources
from .arrays import ArrayShape
from .formulas import tiles_cycles
from .pipeline_spec import Unit, unit_resources

__all__ = ["StreamedSpec"]

WEIGHT_DEPTH = 512
"""Words of a weight RAM: two passes of the longest product, and what half a RAMB36E2 has anyway."""


@dataclass(frozen=True, kw_only=True)
class StreamedSpec:
    """One array for all products of ``network``, of ``shape``, ``rows`` tokens a tile, ``block`` tiles at a time.

    ``lanes`` features a beat of the row-wise units; ``scores`` and ``sums``: the arrays of attention; sequences of up
    to ``max_length`` tokens; ``channels`` memory channels.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    network: Network
    rows: int
    shape: ArrayShape
    block: int
    lanes: int
    scores: ArrayShape
    sums: ArrayShape
    max_length: int
    channels: int

    def __post_init__(self) -> None:
        _ = self.array, self.shared, self.softmax, self.sums_unit.array

    @property
    def macs(self) -> int:
        """Multiplications a cycle of all arrays."""
        return self.array.macs + self.scores_unit.array.macs + self.sums_unit.array.macs

    @property
    def max_inputs(self) -> int:
        """The longest row that is multiplied."""
        return max(operator.inputs for operator in self.network.operators)

    @cached_property
    def array(self) -> ArraySpec:
        """The one array."""
        parts = ceil(self.max_inputs / MAX_TERMS)
        terms = ceil(self.max_inputs / parts)
        return ArraySpec(
            rows=self.rows, columns=self.shape.columns, cascades=self.shape.cascades, lanes=self.lanes, terms=terms,
            least_words=ceil(min(o.inputs for o in self.network.operators) / parts / (8 * self.shape.cascades)),
            ram_depth=WEIGHT_DEPTH, ram_style="block",
        )  # fmt: skip

    @cached_property
    def shared(self) -> SharedColumnsSpec:
        """The array with its block of activations."""
        return SharedColumnsSpec(arrays=(self.array,), block=self.block, max_inputs=self.max_inputs)

    @cached_property
    def scores_unit(self) -> ScoresSpec:
        """Queries times keys, a head at a time."""
        return ScoresSpec(
            rows=self.rows, heads=1, head_size=self.network.head_size, max_length=self.max_length,
            columns=self.scores.columns, cascades=self.scores.cascades, lanes_in=self.lanes, lanes_stored=self.lanes,
            lanes=self.lanes,
        )  # fmt: skip

    @cached_property
    def sums_unit(self) -> WeightedSumsSpec:
        """Numerators times values, a head at a time."""
        return WeightedSumsSpec(
            rows=self.rows, heads=1, head_size=self.network.head_size, max_length=self.max_length,
            columns=self.sums.columns, cascades=self.sums.cascades, lanes_in=self.lanes, lanes_stored=self.lanes,
            lanes=self.lanes,
        )  # fmt: skip

    @cached_property
    def softmax(self) -> SoftmaxSpec:
        """Softmax over the scores of a head."""
        return SoftmaxSpec(
            rows=self.rows, lanes=self.lanes, heads=1, max_length=self.max_length,
            score_bits=self.scores_unit.array.sum_bits, key_multiple=self.scores.columns,
            value_multiple=8 * self.sums.cascades, causal=self.network.causal,
        )  # fmt: skip

    @cached_property
    def cache(self) -> KvCacheSpec:
        """Keys and values of all layers, in off-chip memory."""
        banks = self.scores.columns * self.scores.cascades + self.sums.columns * self.sums.cascades
        return KvCacheSpec(
            features=self.network.kv_features, layers=self.network.layers, max_length=self.max_length, banks=banks,
            on_chip=False,
        )  # fmt: skip

    @property
    def residual(self) -> ResidualSpec:
        """The additions, one after the other; their tokens are those of a block."""
        beats = ceil(self.network.hidden / self.lanes)
        return ResidualSpec(rows=self.rows, lanes=self.lanes, features=beats * self.lanes, depth=self.block * beats)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name."""
        widest = max(operator.outputs for operator in self.network.operators)
        hidden = self.network.hidden
        longest = ceil(self.max_inputs / self.lanes) * self.lanes
        return {
            "array": self.array,
            "rows": RowQuantiseSpec(rows=self.rows, lanes=self.lanes, features=longest, unsigned=False),
            "requantise": RequantiseSpec(
                rows=self.rows, lanes=self.lanes, channels=ceil(widest / self.lanes) * self.lanes,
                group=ceil(widest / self.lanes) * self.lanes, sum_bits=min(self.array.sum_bits, 27), output_bits=16,
                symmetric=False, zero_point=True,
            ),
            "scores": self.scores_unit,
            "softmax": self.softmax,
            "sums": self.sums_unit,
            "residual": self.residual,
            "norm": LayerNormSpec(rows=self.rows, lanes=self.lanes, features=hidden),
            "activation": ActivationSpec(
                rows=self.rows, lanes=self.lanes, features=ceil(self.network.intermediate / self.lanes) * self.lanes,
                max_tiles=ceil(self.max_length / self.rows),
            ),
            "kv_cache": self.cache,
        }  # fmt: skip

    @cached_property
    def resources(self) -> Resources:
        """The whole design: DSP, BRAM and URAM counts, LUT and FF estimates."""
        return sum((unit_resources(unit) for unit in self.units.values()), self.shared.buffer_resources)

    def product_cycles(self, tiles: int) -> dict[str, int]:
        """Cycles of each product of a layer for ``tiles`` tiles, weights at hand."""
        return {o.name: self.shared.product_cycles(o.inputs, o.outputs, tiles) for o in self.network.operators}

    def linear_cycles(self, tiles: int) -> int:
        """Cycles of a layer for ``tiles`` tiles but for attention."""
        return sum(self.product_cycles(tiles).values()) + self.stream_cycles(tiles)

    def attention_cycles(self, tokens: int, context: int) -> int:
        """Cycles of a layer's attention for ``tokens`` behind ``context`` others: scores and sums overlap, by head."""
        ends = range(self.rows, tokens + self.rows, self.rows)
        seen = tuple(context + (min(end, tokens) if self.network.causal else tokens) for end in ends)
        stages = [tiles_cycles(unit, seen) for unit in (self.scores_unit, self.softmax, self.sums_unit)]
        return self.network.heads * int(np.max(stages, axis=0).sum())

    def stream_cycles(self, tiles: int) -> int:
        """Cycles of the row-wise units in a layer of ``tiles``. A row is whole only after a product's last pass, and it
        must be quantised before the next one's first: that does not overlap.

        Where there is one tile, as in decoding, a beat holds ``rows`` x ``lanes`` features of one token.
        """
        lanes = self.lanes * (self.rows if tiles == 1 else 1)
        beats = sum(ceil(operator.inputs / lanes) for operator in self.network.operators)
        return tiles * beats + len(self.network.operators) * self.shared.latency
