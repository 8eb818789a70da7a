"""Operators as kernels: the specs of the units that compute a graph. The numbers that a unit computes follow from the
graph; how many of them it computes at a time is the geometry's part, which the caller gives."""

from collections.abc import Callable
from functools import cache
from typing import Any

from ..kernels.activation import ActivationSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.scores import ScoresSpec
from ..kernels.softmax import SoftmaxSpec
from ..kernels.weightedsum import WeightedSumsSpec
from .architecture import Add, Attention, Graph, Linear, Norm, Operator, Table
from .edges import Edge, edges

__all__ = ["SUM_BITS", "Lowering", "NumericSpecs"]

SUM_BITS, SCORE_BITS = 27, 26
"""Bits of the sums of linear units, and of scores."""


class Lowering:
    """The kernels' specs of a ``graph``'s operators. ``looped``: see `edges`.

    Every method takes an operator and the geometry of its unit.
    """

    def __init__(self, graph: Graph, *, looped: bool):
        self.graph, self.edges = graph, edges(graph, looped=looped)

    def result(self, linear: Linear) -> Edge:
        """The edge of what a linear operator gives, whose parts have the same bits."""
        return self.edges[linear.parts[0].name]

    def row_quantise(self, linear: Linear, *, rows: int, lanes: int) -> RowQuantiseSpec:
        """What makes the rows of a linear unit."""
        unsigned = self.edges[linear.source].zero_point
        return RowQuantiseSpec(rows=rows, lanes=lanes, features=linear.inputs, unsigned=unsigned)

    def requantise(
        self, linear: Linear, *, rows: int, lanes: int, sum_bits: int = SUM_BITS, channels: int | None = None
    ) -> RequantiseSpec:
        """What takes the sums of a linear unit; ``channels`` where it has more outputs than the operator."""
        channels, bits = channels or linear.outputs, self.result(linear).bits
        return RequantiseSpec(
            rows=rows, lanes=lanes, channels=channels, group=channels, sum_bits=sum_bits, output_bits=bits,
            symmetric=bits == 8, zero_point=self.edges[linear.source].zero_point,
        )  # fmt: skip

    def context(self, attention: Attention, *, rows: int, lanes: int, sum_bits: int = SUM_BITS) -> RequantiseSpec:
        """What takes the weighted sums of values."""
        return RequantiseSpec(
            rows=rows, lanes=lanes, channels=self.graph.widths[attention.name], group=attention.head_size,
            sum_bits=sum_bits, output_bits=self.edges[attention.name].bits, symmetric=False, zero_point=False,
        )  # fmt: skip

    def softmax(self, attention: Attention, **geometry: Any) -> SoftmaxSpec:
        """What makes numerators of scores."""
        return SoftmaxSpec(heads=attention.heads, causal=attention.causal, **geometry)

    def norm(self, norm: Norm, *, rows: int, lanes: int) -> LayerNormSpec:
        """A normalisation."""
        return LayerNormSpec(rows=rows, lanes=lanes, features=norm.features, input_bits=self.edges[norm.source].bits)

    def residual(self, add: Add, *, rows: int, lanes: int, depth: int) -> ResidualSpec:
        """A residual addition whose skip side can run ``depth`` beats ahead."""
        bits = self.edges[add.name].bits
        return ResidualSpec(rows=rows, lanes=lanes, features=add.features, depth=depth, output_bits=bits)

    def activation(self, table: Table, *, rows: int, lanes: int, max_tiles: int) -> ActivationSpec:
        """A function by its table."""
        return ActivationSpec(rows=rows, lanes=lanes, features=table.features, max_tiles=max_tiles)


class NumericSpecs(Lowering):
    """The specs for a graph's integer reference. Their geometry, which has no part in the numbers, is the simplest.

    ``max_length``: tokens of the longest text.

    Raises:
        ValueError: for numbers that a kernel does not take.
    """

    def __init__(self, graph: Graph, *, looped: bool, max_length: int):
        super().__init__(graph, looped=looped)
        self.max_length = max_length
        makers: dict[type[Operator], Callable[..., Any]] = {
            Linear: self.of_linear,
            Attention: self.of_attention,
            Norm: self.of_norm,
            Add: self.of_add,
            Table: self.of_table,
        }
        # At once: a kernel that does not take the graph's numbers refuses them before anything is computed.
        for operator in graph:
            makers[type(operator)](operator)

    @classmethod
    @cache
    def of(cls, graph: Graph, looped: bool, max_length: int) -> "NumericSpecs":
        """The specs of a graph, made once."""
        return cls(graph, looped=looped, max_length=max_length)

    @cache  # noqa: B019 - there are as many instances as graphs
    def of_linear(self, linear: Linear) -> tuple[RowQuantiseSpec, RequantiseSpec]:
        """Row quantiser and requantiser."""
        return self.row_quantise(linear, rows=1, lanes=1), self.requantise(linear, rows=1, lanes=1)

    @cache  # noqa: B019
    def of_attention(self, attention: Attention) -> tuple[ScoresSpec, SoftmaxSpec, WeightedSumsSpec, RequantiseSpec]:
        """The units of attention."""
        sizes: dict[str, Any] = {
            "heads": attention.heads,
            "head_size": attention.head_size,
            "max_length": self.max_length,
        }
        sizes |= dict.fromkeys(("rows", "columns", "cascades", "lanes_in", "lanes_stored", "lanes"), 1)
        softmax = self.softmax(
            attention, rows=1, lanes=1, max_length=self.max_length, score_bits=SCORE_BITS, key_multiple=1,
            value_multiple=1,
        )  # fmt: skip
        context = self.context(attention, rows=1, lanes=1)
        return ScoresSpec(**sizes), softmax, WeightedSumsSpec(**sizes), context

    @cache  # noqa: B019
    def of_norm(self, norm: Norm) -> LayerNormSpec:
        """The normalisation."""
        return self.norm(norm, rows=1, lanes=1)

    @cache  # noqa: B019
    def of_add(self, add: Add) -> ResidualSpec:
        """The addition."""
        return self.residual(add, rows=1, lanes=1, depth=1)

    @cache  # noqa: B019
    def of_table(self, table: Table) -> ActivationSpec:
        """The table."""
        return self.activation(table, rows=1, lanes=1, max_tiles=1)
