"""The geometry of a pipeline: how every unit of a layer is laid out, and what follows from it."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil
from typing import Protocol

from ...kernels.activation import ActivationSpec
from ...kernels.layernorm import LayerNormSpec
from ...kernels.linearspec import LinearSpec, pass_words, ram_depth
from ...kernels.requantise import RequantiseSpec
from ...kernels.residual import ResidualSpec
from ...kernels.rowquantise import RowQuantiseSpec
from ...kernels.scores import ScoresSpec
from ...kernels.softmax import SoftmaxSpec
from ...kernels.unit import UnitSpec
from ...kernels.weightedsum import WeightedSumsSpec
from ...model.architecture import Add, Attention, Gate, Graph, Linear, Norm, Operator, Table
from ...model.lowering import Lowering
from ...model.weightbits import W8, WeightBits
from ...resources import Resources
from .arrays import Arrays, ArrayShape, array_names, products
from .formulas import AttentionUnit
from .joints import joint_resources
from .section import OperatorUnit, Section, named

__all__ = ["PipelineSpec", "Segments", "Unit", "bank_style", "tensor_lanes", "unit_resources"]


JOINT_CYCLES = 24
"""Cycles of what joins the units of a layer: three before and after each product, forks, the FIFO of the loop."""


class Unit(Hashable, Protocol):
    """A kernel's spec."""

    @property
    def resources(self) -> Resources:
        """What the kernel takes."""
        ...

    @property
    def shape(self) -> str:
        """The size of the unit in a few words."""
        ...


Segments = tuple[tuple[int, int], ...]
"""Parts of a memory channel: (address, beats), in beats of 64 bytes."""


@lru_cache(maxsize=1 << 14)
def unit_resources(unit: Unit) -> Resources:
    """What a unit takes: geometries that are compared have most of their units in common."""
    return unit.resources


def bank_style(words: int) -> str:
    """The RAM for so many words of keys or values under one cascade: up to two RAMB36 are less than a URAM288."""
    return "ultra" if words > 1024 else "block"


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """One layer of a network in hardware.

    The network: the graph of its ``layer``, sequences of up to ``max_length`` tokens, ``max_layers``. The geometry:
    ``rows`` tokens in a tile; the shapes of the ``arrays``, by the names of `array_names`; ``lanes`` features in a beat
    of the token streams, ``ffn_lanes`` of the streams between the feed-forward units, ``score_lanes`` of scores and
    numerators; ``channels``: the memory channels of each linear unit, in the order of the `products`;
    ``weight_layers`` whose weights lie on chip at once, 1 or 2: with 2 the next layer's come while one is computed.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    layer: Graph
    max_length: int
    max_layers: int
    rows: int
    lanes: int
    ffn_lanes: int
    score_lanes: int
    arrays: Arrays
    channels: tuple[int, ...]
    weight_layers: int = 2

    def __post_init__(self) -> None:
        if self.weight_layers not in (1, 2):
            raise ValueError(f"pipeline weight_layers must be 1 or 2, not {self.weight_layers}")
        if tuple(self.arrays) != array_names(self.layer):
            names = ", ".join(array_names(self.layer))
            raise ValueError(f"pipeline arrays must be {names}, not {', '.join(self.arrays)}")
        if len(self.channels) != len(self.products):
            raise ValueError(f"pipeline channels must be {len(self.products)} numbers, not {self.channels}")
        _ = self.units

    @cached_property
    def products(self) -> tuple[str, ...]:
        """The names of the linear units, in the order of the data."""
        return products(self.layer)

    @property
    def linear_units(self) -> tuple[LinearSpec, ...]:
        """The linear units, in the order of the data."""
        return tuple(self.linear(name) for name in self.products)

    def channels_of(self, name: str) -> int:
        """Memory channels of the linear unit ``name``."""
        return self.channels[self.products.index(name)]

    @cached_property
    def lowering(self) -> Lowering:
        """What the numbers of its units follow from."""
        return Lowering(self.layer, looped=True)

    @cached_property
    def attention(self) -> Attention:
        """The attention of a layer."""
        return self.layer.of(Attention)[0]

    @cached_property
    def table(self) -> Table:
        """The function between the feed-forward units."""
        return self.layer.of(Table)[0]

    @property
    def hidden(self) -> int:
        """Features of a token."""
        return self.layer.features

    @property
    def heads(self) -> int:
        """Heads of queries."""
        return self.attention.heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.attention.kv_heads

    @property
    def head_size(self) -> int:
        """Features of a head."""
        return self.attention.head_size

    @property
    def intermediate(self) -> int:
        """Features of the feed-forward part."""
        return self.table.features

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part has a gate."""
        return bool(self.layer.of(Gate))

    def product(self, name: str) -> Linear:
        """The linear operator of that name."""
        found = self.layer[name]
        assert isinstance(found, Linear), f"{name} must be a linear operator"
        return found

    def lanes_of(self, tensor: str) -> int:
        """Features in a beat of a tensor's stream: ``ffn_lanes`` in front of and after a table."""
        return tensor_lanes(self.layer, tensor, lanes=self.lanes, ffn_lanes=self.ffn_lanes)

    @property
    def positions(self) -> int:
        """Tokens of the longest sequence that may be run."""
        return self.max_length

    @property
    def max_tiles(self) -> int:
        """Tiles of the longest sequence."""
        return ceil(self.max_length / self.rows)

    def linear(self, name: str) -> LinearSpec:
        """The linear unit ``name``, one of the `products`."""
        units = self._linear_units
        if name not in units:
            units[name] = self._linear_unit(name)
        return units[name]

    @cached_property
    def _linear_units(self) -> dict[str, LinearSpec]:
        """Those that were asked for: a geometry is asked for them often."""
        return {}

    def _linear_unit(self, name: str) -> LinearSpec:
        return self.linear_of(name, self.arrays[name], self.weight_layers)

    def linear_of(self, name: str, shape: ArrayShape, weight_layers: int) -> LinearSpec:
        """The linear unit ``name`` with an array of that shape, and room for the weights of so many layers."""
        product = self.product(name)
        inputs, outputs = product.inputs, product.outputs
        lanes_in, lanes = self.lanes_of(product.source), self.lanes_of(product.parts[0].name)
        depth = int(ram_depth(outputs // shape.columns * pass_words(inputs, shape.cascades), weight_layers))
        return LinearSpec(
            rows=self.rows, inputs=inputs, outputs=outputs, columns=shape.columns, cascades=shape.cascades,
            lanes_in=lanes_in, lanes=lanes, channels=self.channels_of(name), ram_depth=depth,
            max_tiles=self.max_tiles, ram_style="ultra" if depth > 512 else "block",
            block=self.weight_block(name, shape),
        )  # fmt: skip

    def weight_block(self, name: str, shape: ArrayShape) -> int:
        """Words of each RAM of a linear unit that lie side by side in memory."""
        return 1

    @property
    def scores_unit(self) -> ScoresSpec:
        """Queries times keys."""
        return self.scores_of(self.arrays["scores"])

    def scores_of(self, shape: ArrayShape) -> ScoresSpec:
        """Queries times keys, in an array of that shape."""
        units = self._scores_units
        if shape not in units:
            units[shape] = self._scores_unit(shape)
        return units[shape]

    @cached_property
    def _scores_units(self) -> dict[ArrayShape, ScoresSpec]:
        return {}

    def _scores_unit(self, shape: ArrayShape) -> ScoresSpec:
        unit = ScoresSpec(
            rows=self.rows, heads=self.heads, head_size=self.head_size, max_length=self.max_length,
            columns=shape.columns, cascades=shape.cascades, lanes_in=self.lanes, lanes_stored=self.lanes,
            lanes=self.score_lanes,
        )  # fmt: skip
        return replace(unit, ram_style=bank_style(unit.banks.depth))

    @property
    def sums_unit(self) -> WeightedSumsSpec:
        """Numerators times values, in RAMs as those of the keys."""
        return replace(self.sums_of(self.arrays["sums"]), ram_style=self.scores_of(self.arrays["scores"]).ram_style)

    def sums_of(self, shape: ArrayShape) -> WeightedSumsSpec:
        """Numerators times values, in an array of that shape."""
        return WeightedSumsSpec(
            rows=self.rows, heads=self.heads, head_size=self.head_size, max_length=self.max_length,
            columns=shape.columns, cascades=shape.cascades, lanes_in=self.score_lanes, lanes_stored=self.lanes,
            lanes=self.lanes,
        )  # fmt: skip

    @property
    def softmax(self) -> SoftmaxSpec:
        """Softmax over the scores of a head."""
        return self.softmax_of(self.scores_of(self.arrays["scores"]), self.arrays["sums"].cascades)

    def softmax_of(self, scores: ScoresSpec, cascades: int) -> SoftmaxSpec:
        """Softmax after such scores, and before weighted sums of so many cascades."""
        return self.lowering.softmax(
            self.attention, rows=self.rows, lanes=self.score_lanes, max_length=self.max_length,
            score_bits=scores.array.sum_bits, key_multiple=scores.columns, value_multiple=8 * cascades,
        )  # fmt: skip

    def requantise(self, name: str) -> RequantiseSpec:
        """The requantiser after a linear unit, or after the weighted sums (under the name of the attention)."""
        if name == self.attention.name:
            sum_bits = self.sums_unit.array.sum_bits
            return self.lowering.context(self.attention, rows=self.rows, lanes=self.lanes, sum_bits=sum_bits)
        product, unit = self.product(name), self.linear(name)
        return self.lowering.requantise(product, rows=self.rows, lanes=unit.lanes, sum_bits=unit.array.sum_bits)

    def row_quantise(self, name: str) -> RowQuantiseSpec:
        """The row quantiser in front of a linear unit."""
        return self.lowering.row_quantise(self.product(name), rows=self.rows, lanes=self.linear(name).lanes_in)

    @property
    def activation(self) -> ActivationSpec:
        """The function between the feed-forward units."""
        lanes = self.lanes_of(self.table.name)
        return self.lowering.activation(self.table, rows=self.rows, lanes=lanes, max_tiles=self.max_tiles)

    @property
    def norm(self) -> LayerNormSpec:
        """All normalisations of the layer."""
        return self.lowering.norm(self.layer.of(Norm)[0], rows=self.rows, lanes=self.lanes)

    @property
    def tile_beats(self) -> int:
        """Beats of a tile of tokens."""
        return self.hidden // self.lanes

    def residual(self, name: str) -> ResidualSpec:
        """A residual addition. What goes past its branch waits for the tiles that are in the branch."""
        add = self.layer[name]
        assert isinstance(add, Add), f"{name} must be a residual addition"
        depth = min(self.tiles_in_branch(add), self.max_tiles) * self.tile_beats
        return self.lowering.residual(add, rows=self.rows, lanes=self.lanes, depth=depth)

    def tiles_in_branch(self, add: Add) -> int:
        """Tiles between the fork before a branch and the addition after it, all units busy, and the one that leaves."""
        tiles, tensor = 1, add.branch
        while tensor != add.skip and (maker := self.layer.maker(tensor)):
            tiles += self.tiles_in(maker)
            tensor = maker.values if isinstance(maker, Attention) else next(iter(maker.reads))
        return tiles

    def tiles_in(self, operator: Operator) -> int:
        """Tiles in the units of an operator, all busy: two in each buffer of whole rows, one read, one arriving. A
        linear operator has two of these, the row quantiser's and that of the activations. Attention with a barrier
        holds all tiles, since their queries wait for the last key."""
        if isinstance(operator, Attention):
            return self.max_tiles
        return 4 if isinstance(operator, Linear) else 2 if isinstance(operator, Norm) else 0

    @property
    def heads_in_sums(self) -> int:
        """Heads between softmax and the requantiser of its weighted sums: in its buffer, and passes in flight."""
        return self.heads_in_sums_with(self.sums_unit)

    def heads_in_sums_with(self, unit: WeightedSumsSpec) -> int:
        """`heads_in_sums` with other weighted sums."""
        return unit.buffer.words + ceil(unit.array.passes_in_flight / unit.passes) + 2

    @property
    def parameter_width(self) -> int:
        """Parameters that are dealt out a cycle, 64-bit words."""
        return 1

    def _units_of(self, operator: Operator) -> Iterator[OperatorUnit]:
        name = operator.name
        if isinstance(operator, Linear):
            rows, requantise = self._around(operator)
            yield from (rows, OperatorUnit(name, self.linear(name), {}), requantise)
        elif isinstance(operator, Attention):
            softmax, context = self.softmax, self.requantise(name)
            yield OperatorUnit("scores", self.scores_unit, {})
            yield OperatorUnit("softmax", softmax, named(softmax.parameters, scales="scores"))
            yield OperatorUnit("sums", self.sums_unit, {})
            yield OperatorUnit(f"requantise_{name}", context, named(context.parameters, channels=name))
        elif isinstance(operator, Norm):
            norm = self.norm
            yield OperatorUnit(name, norm, named(norm.parameters, epsilon=f"epsilon_{name}", channels=name))
        elif isinstance(operator, Add):
            add = self.residual(name)
            yield OperatorUnit(name, add, named(add.parameters, channels=name))
        elif isinstance(operator, Table):
            activation = self.activation
            yield OperatorUnit(name, activation, named(activation.parameters, table=name))

    def _around(self, product: Linear) -> tuple[OperatorUnit, OperatorUnit]:
        """The row quantiser in front of a product and the requantiser after it."""
        name, rows, requantise = product.name, self.row_quantise(product.name), self.requantise(product.name)
        return (
            OperatorUnit(f"rows_{name}", rows, named(rows.parameters, limit=f"limit_{name}")),
            OperatorUnit(f"requantise_{name}", requantise, named(requantise.parameters, channels=name)),
        )

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The graphs that the pipeline computes, by name: the layer."""
        return {"layer": self._section(self.layer)}

    def _section(self, graph: Graph) -> Section:
        units = {operator.name: tuple(self._units_of(operator)) for operator in graph}
        return Section(graph, units, self.parameter_width)

    @cached_property
    def tile_units(self) -> dict[str, UnitSpec]:
        """The units of the operators of all sections, by name, in the order of the data."""
        return {unit.name: unit.spec for section in self.sections.values() for unit in section}

    def held_products(self, name: str) -> list[tuple[str, str]]:
        """The products of which a linear unit holds weights, by their number in it, as section and name: its own, and
        those that all units share."""
        shared = [(key, product) for key, section in self.sections.items() for product in section.products]
        return [("layer", name), *shared[: len(self.linear(name).products)]]

    def segments(self, name: str) -> dict[str, Segments]:
        """What a run reads of each channel of a linear unit, or of the ``parameters``, by the kind of the run."""
        beats = self.sections["layer"].beats if name == "parameters" else self.linear(name).layer_beats
        return {"run": ((0, self.max_layers * beats),)}

    @property
    def weight_bits(self) -> WeightBits:
        """Bits of the weights in memory."""
        return W8

    @property
    def counts(self) -> dict[str, int]:
        """The fields of an order that count tokens in steps of a unit, and the tokens of a step."""
        return {name: step for unit in self.tile_units.values() for name, step in unit.counts.items()}

    @property
    def count_bounds(self) -> dict[str, int]:
        """The most of each of the `counts`: the steps of the longest sequence."""
        return {name: ceil(self.max_length / step) for name, step in self.counts.items()}

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name in the pipeline, in the order of the data."""
        return {unit.name: unit.spec for unit in self.sections["layer"]}

    @property
    def parameter_resources(self) -> Resources:
        """What joins the units: the buffers of all parameters, the orders, and the buffers between units."""
        return joint_resources(self, self.order_bits, self.heads_in_sums)

    @property
    def order_bits(self) -> int:
        """Bits of a layer's order: three flags, tokens, tiles, passes over the keys, words of values."""
        return self.order_bits_with(self.scores_unit, self.sums_unit)

    def order_bits_with(self, scores: ScoresSpec, sums: WeightedSumsSpec) -> int:
        """`order_bits` with another attention."""
        bounds = scores.banks.max_passes, sums.banks.max_words
        return 3 + sum(bound.bit_length() for bound in (self.max_length, self.max_tiles, *bounds))

    @cached_property
    def resources(self) -> Resources:
        """The whole pipeline: DSP, BRAM and URAM counts, LUT and FF estimates."""
        return _pipeline_resources(self)

    @property
    def macs(self) -> int:
        """Multiplications a cycle of all arrays."""
        return sum(unit.macs for unit in self.array_units)

    @property
    def array_units(self) -> tuple[LinearSpec | ScoresSpec | WeightedSumsSpec, ...]:
        """The units that have systolic arrays."""
        return (*self.linear_units, self.scores_unit, self.sums_unit)

    @property
    def attention_units(self) -> dict[str, AttentionUnit]:
        """The units whose cycles depend on the keys that a tile sees."""
        return {"scores": self.scores_unit, "softmax": self.softmax, "sums": self.sums_unit}

    def tile_cycles(self, tokens: int) -> dict[str, int]:
        """Cycles a tile takes each array, for a sequence of ``tokens``; the largest sets the pace."""
        linear: dict[str, UnitSpec] = dict(zip(self.products, self.linear_units, strict=True))
        return {name: unit.tile_cycles(tokens) for name, unit in (linear | self.attention_units).items()}

    @property
    def row_cycles(self) -> int:
        """Cycles a tile takes the slowest of what works row by row: quantisers, normalisations, softmax's
        reciprocals."""
        return self.row_cycles_with(self.softmax)

    def row_cycles_with(self, softmax: SoftmaxSpec) -> int:
        """`row_cycles` with another softmax."""
        units = (unit.spec for unit in self.sections["layer"])
        return max(softmax.row_cycles, *(one.row_cycles for one in units if not isinstance(one, SoftmaxSpec)))

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles that a tile spends between the arrays of a layer: in units, and in what joins these."""
        return JOINT_CYCLES + sum(unit.spec.tile_latency for unit in self.sections["layer"])


def tensor_lanes(layer: Graph, tensor: str, *, lanes: int, ffn_lanes: int) -> int:
    """Features in a beat of a tensor's stream: ``ffn_lanes`` in front of and after a table."""
    around = (layer.maker(tensor), *layer.readers(tensor))
    return ffn_lanes if any(isinstance(one, (Table, Gate)) for one in around) else lanes


@lru_cache(maxsize=1 << 12)
def _pipeline_resources(spec: PipelineSpec) -> Resources:
    """As `unit_resources`: geometries are compared again for another device."""
    return sum((unit_resources(unit) for unit in spec.units.values()), spec.parameter_resources)
