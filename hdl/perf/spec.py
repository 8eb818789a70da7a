"""The geometry of a pipeline: how every unit of a layer is laid out, and what follows from it."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil
from typing import NamedTuple, Protocol

from ..kernels.activation import ActivationSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.linear import LinearSpec
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.scores import ScoresSpec
from ..kernels.softmax import SoftmaxSpec
from ..kernels.weightedsum import WeightedSumsSpec
from ..resources import Resources
from .cycles import run_cycles
from .parameters import LINEAR_UNITS, ParameterBlock, blocks_beats, joint_resources, parameter_blocks

__all__ = ["ARRAYS", "LINEAR_UNITS", "ArrayShape", "PipelineSpec", "Unit", "bank_style", "unit_resources"]

ARRAYS = (*LINEAR_UNITS, "scores", "sums")
"""All systolic arrays of a layer."""


class Unit(Hashable, Protocol):
    """A kernel's spec."""

    @property
    def resources(self) -> Resources:
        """What the kernel takes."""
        ...


@lru_cache(maxsize=1 << 14)
def unit_resources(unit: Unit) -> Resources:
    """What a unit takes: geometries that are compared have most of their units in common."""
    return unit.resources


def bank_style(words: int) -> str:
    """The RAM for so many words of keys or values under one cascade: up to two RAMB36 are less than a URAM288."""
    return "ultra" if words > 1024 else "block"


class ArrayShape(NamedTuple):
    """Columns C and cascades P of a systolic array (D = 8 P)."""

    columns: int
    cascades: int


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """One layer of an encoder in hardware.

    The network: ``hidden`` features, ``heads``, ``intermediate`` features of the feed-forward part, sequences of up
    to ``max_length`` tokens, ``max_layers``. The geometry: ``rows`` tokens a tile; the arrays' shapes; ``lanes``
    features a beat of the token streams, ``ffn_lanes`` of the stream between the feed-forward units, ``score_lanes``
    of scores and numerators; ``channels`` memory channels for each weight-bearing unit, in the order of `LINEAR_UNITS`;
    ``weight_layers`` whose weights lie on chip at once, 1 or 2: with 2 the next layer's come while one is computed.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    hidden: int
    heads: int
    intermediate: int
    max_length: int
    max_layers: int
    rows: int
    lanes: int
    ffn_lanes: int
    score_lanes: int
    qkv: ArrayShape
    projection: ArrayShape
    ffn1: ArrayShape
    ffn2: ArrayShape
    scores: ArrayShape
    sums: ArrayShape
    channels: tuple[int, int, int, int]
    weight_layers: int = 2

    def __post_init__(self) -> None:
        if self.weight_layers not in (1, 2):
            raise ValueError(f"pipeline weight_layers must be 1 or 2, not {self.weight_layers}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden size must be a multiple of its {self.heads} heads, not {self.hidden}")
        for name in LINEAR_UNITS:
            self.linear(name)
        _ = self.scores_unit, self.sums_unit, self.softmax, self.residual1, self.residual2

    @property
    def head_size(self) -> int:
        """Features of a head."""
        return self.hidden // self.heads

    @property
    def qkv_features(self) -> int:
        """Features of a token's keys, values and queries together."""
        return 3 * self.hidden

    @property
    def ffn1_features(self) -> int:
        """Features that leave the first feed-forward unit."""
        return self.intermediate

    @property
    def positions(self) -> int:
        """Tokens of the longest sequence that may be run."""
        return self.max_length

    @property
    def max_tiles(self) -> int:
        """Tiles of the longest sequence."""
        return ceil(self.max_length / self.rows)

    def linear(self, name: str) -> LinearSpec:
        """The linear unit ``name``, one of `LINEAR_UNITS`."""
        units = self._linear_units
        if name not in units:
            units[name] = self._linear_unit(name)
        return units[name]

    @cached_property
    def _linear_units(self) -> dict[str, LinearSpec]:
        """Those that were asked for: a geometry is asked for them often."""
        return {}

    def _linear_unit(self, name: str) -> LinearSpec:
        inputs, outputs, lanes_in, lanes = {
            "qkv": (self.hidden, self.qkv_features, self.lanes, self.lanes),
            "projection": (self.hidden, self.hidden, self.lanes, self.lanes),
            "ffn1": (self.hidden, self.ffn1_features, self.lanes, self.ffn_lanes),
            "ffn2": (self.intermediate, self.hidden, self.ffn_lanes, self.lanes),
        }[name]
        shape: ArrayShape = getattr(self, name)
        layer_words = outputs // shape.columns * ceil(inputs / (8 * shape.cascades))
        # Two layers only where one URAM288 holds them; at least one always.
        depth = max(layer_words, min(self.weight_layers * layer_words, 4096))
        return LinearSpec(
            rows=self.rows, inputs=inputs, outputs=outputs, columns=shape.columns, cascades=shape.cascades,
            lanes_in=lanes_in, lanes=lanes, channels=self.channels[LINEAR_UNITS.index(name)], ram_depth=depth,
            max_tiles=self.max_tiles, ram_style="ultra" if depth > 512 else "block", block=self.weight_block(name),
        )  # fmt: skip

    def weight_block(self, name: str) -> int:
        """Words of each RAM of a linear unit that lie side by side in memory."""
        return 1

    @property
    def scores_unit(self) -> ScoresSpec:
        """Queries times keys."""
        return ScoresSpec(
            rows=self.rows, heads=self.heads, head_size=self.head_size, max_length=self.max_length,
            columns=self.scores.columns, cascades=self.scores.cascades, lanes_in=self.lanes, lanes_stored=self.lanes,
            lanes=self.score_lanes, ram_style=self._bank_style,
        )  # fmt: skip

    @property
    def sums_unit(self) -> WeightedSumsSpec:
        """Numerators times values."""
        return WeightedSumsSpec(
            rows=self.rows, heads=self.heads, head_size=self.head_size, max_length=self.max_length,
            columns=self.sums.columns, cascades=self.sums.cascades, lanes_in=self.score_lanes, lanes_stored=self.lanes,
            lanes=self.lanes, ram_style=self._bank_style,
        )  # fmt: skip

    @property
    def _bank_style(self) -> str:
        words = (
            2 * self.heads * ceil(self.max_length / self.scores.columns) * self.head_size // (8 * self.scores.cascades)
        )
        return bank_style(words)

    @property
    def softmax(self) -> SoftmaxSpec:
        """Softmax over the scores of a head."""
        return SoftmaxSpec(
            rows=self.rows, lanes=self.score_lanes, heads=self.heads, max_length=self.max_length,
            score_bits=self.scores_unit.array.sum_bits, key_multiple=self.scores.columns,
            value_multiple=8 * self.sums.cascades,
        )  # fmt: skip

    def requantise(self, name: str) -> RequantiseSpec:
        """The requantiser behind a linear unit, or behind the weighted sums (``context``)."""
        sums = self.sums_unit.array.sum_bits if name == "context" else self.linear(name).array.sum_bits
        channels = self.hidden if name == "context" else self.linear(name).outputs
        return RequantiseSpec(
            rows=self.rows, lanes=self.ffn_lanes if name == "ffn1" else self.lanes, channels=channels,
            group=self.head_size if name == "context" else channels, sum_bits=sums,
            output_bits=8 if name == "qkv" else 16, symmetric=name == "qkv", zero_point=name == "ffn2",
        )  # fmt: skip

    def row_quantise(self, name: str) -> RowQuantiseSpec:
        """The row quantiser in front of a linear unit."""
        unit = self.linear(name)
        return RowQuantiseSpec(rows=self.rows, lanes=unit.lanes_in, features=unit.inputs, unsigned=name == "ffn2")

    @property
    def activation(self) -> ActivationSpec:
        """The activation between the feed-forward units."""
        return ActivationSpec(
            rows=self.rows, lanes=self.ffn_lanes, features=self.intermediate, max_tiles=self.max_tiles
        )

    @property
    def norm(self) -> LayerNormSpec:
        """Both layer normalisations."""
        return LayerNormSpec(rows=self.rows, lanes=self.lanes, features=self.hidden)

    @property
    def tile_beats(self) -> int:
        """Beats of a tile of tokens."""
        return self.hidden // self.lanes

    @property
    def residual1(self) -> ResidualSpec:
        """The addition behind attention. Its tokens wait for the barrier: the whole sequence, the tokens in flight."""
        return ResidualSpec(rows=self.rows, lanes=self.lanes, depth=self.max_tiles * self.tile_beats)

    @property
    def residual2(self) -> ResidualSpec:
        """The addition behind the feed-forward part. Its tokens wait for the tiles between: see
        `feed_forward_tiles`."""
        tiles = min(self.feed_forward_tiles, self.max_tiles)
        return ResidualSpec(rows=self.rows, lanes=self.lanes, depth=tiles * self.tile_beats)

    @property
    def feed_forward_tiles(self) -> int:
        """Tiles between the fork behind the first normalisation and the second addition, all stages busy.

        Two in each row quantiser and each activation buffer (one read, one arriving), and one that leaves FFN2.
        """
        return 2 * 2 + 2 * 2 + 1

    @property
    def heads_in_sums(self) -> int:
        """Heads between softmax and the requantiser of its weighted sums: in its buffer, and passes in flight."""
        unit = self.sums_unit
        return unit.replay.depth + ceil(unit.array.passes_in_flight / unit.passes) + 2

    @property
    def parameters(self) -> tuple[ParameterBlock, ...]:
        """The parameters of a layer, in the order in which they arrive."""
        return parameter_blocks(self)

    @property
    def parameter_width(self) -> int:
        """Parameters that are dealt out a cycle, 64-bit words."""
        return 1

    @property
    def parameter_beats(self) -> int:
        """Beats of the parameter channel a layer."""
        return blocks_beats(self.parameters, self.parameter_width)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name in the pipeline, in the order of the data."""
        units: dict[str, Unit] = {}
        for name in LINEAR_UNITS:
            units[f"rows_{name}"] = self.row_quantise(name)
            units[name] = self.linear(name)
            units[f"requantise_{name}"] = self.requantise(name)
            if name == "qkv":
                units |= {"scores": self.scores_unit, "softmax": self.softmax, "sums": self.sums_unit}
                units["requantise_context"] = self.requantise("context")
            elif name == "projection":
                units |= {"residual1": self.residual1, "norm1": self.norm}
            elif name == "ffn1":
                units["activation"] = self.activation
            else:
                units |= {"residual2": self.residual2, "norm2": self.norm}
        return units

    @property
    def parameter_resources(self) -> Resources:
        """What joins the units: the buffers of all parameters, the orders, and the buffers between units."""
        return joint_resources(self)

    @property
    def order_bits(self) -> int:
        """Bits of a layer's order: three flags, tokens, tiles, passes over the keys, words of values."""
        bounds = self.scores_unit.banks.max_passes, self.sums_unit.banks.max_words
        return 3 + sum(bound.bit_length() for bound in (self.max_length, self.max_tiles, *bounds))

    @cached_property
    def resources(self) -> Resources:
        """The whole pipeline: DSP, BRAM and URAM counts, LUT and FF estimates."""
        return _pipeline_resources(self)

    @property
    def macs(self) -> int:
        """Multiplications a cycle of all arrays."""
        arrays = [self.linear(name).array for name in LINEAR_UNITS] + [self.scores_unit.array, self.sums_unit.array]
        return sum(array.macs for array in arrays)

    def tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles a tile takes each array, for a sequence of ``tokens``; the largest sets the pace."""
        linear = {name: self.linear(name).cycles(1) for name in LINEAR_UNITS}
        return linear | {
            "scores": self.scores_unit.tile_cycles(tokens),
            "softmax": self.softmax.cycles(tokens),
            "sums": self.sums_unit.tile_cycles(tokens),
        }

    @property
    def row_cycles(self) -> int:
        """Cycles a tile takes the slowest of what works row by row: quantisers, normalisations, softmax's
        reciprocals."""
        rows = max(self.row_quantise(name).cycles() for name in LINEAR_UNITS)
        return max(rows, self.norm.cycles(), self.softmax.cycles(1))

    def run_cycles(self, tokens: int, layers: int) -> int:
        """Cycles of a run, from the first beat of tokens accepted to the last beat of the last layer's outputs."""
        return run_cycles(self, tokens, layers)

    def layer_cycles(self, tokens: int) -> int:
        """Cycles that a layer more takes."""
        return self.run_cycles(tokens, 2) - self.run_cycles(tokens, 1)

    def layer_macs(self, tokens: int) -> int:
        """Multiplications of a layer over a sequence (paper, section 4: 4 l d^2 + 2 l d dFFN + 2 l^2 d)."""
        return tokens * self.hidden * (4 * self.hidden + 2 * self.intermediate + 2 * tokens)


@lru_cache(maxsize=1 << 12)
def _pipeline_resources(spec: PipelineSpec) -> Resources:
    """As `unit_resources`: geometries are compared again for another device."""
    return sum((unit_resources(unit) for unit in spec.units.values()), spec.parameter_resources)
