"""Operators as kernels: the specs of the units that compute a graph. The numbers that a unit computes follow from the
graph; how many of them it computes at a time is the geometry's part, which the caller gives."""

from dataclasses import dataclass
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
from .architecture import Add, Attention, Gate, Graph, Linear, Norm, Rotary, Table
from .edges import Edge, edges, spread_before
from .network import Network
from .units import GateSpec, GroupedAttentionSpec, RMSNormSpec, RotarySpec, SpreadRowsSpec

__all__ = ["SUM_BITS", "Lowering", "numeric_specs"]

SUM_BITS, SCORE_BITS = 27, 26
"""Bits of the sums of linear units, and of scores."""

SIMPLEST: dict[str, Any] = {"rows": 1, "lanes": 1}


class Lowering:
    """The kernels' specs of a ``graph``'s operators. ``looped``: see `edges`.

    Every method takes an operator and the geometry of its unit.
    """

    def __init__(self, graph: Graph, *, looped: bool):
        self.graph, self.edges = graph, edges(graph, looped=looped)

    def result(self, linear: Linear) -> Edge:
        """The edge of what a linear operator gives, of its parts that of the most bits. The others are saturated to
        theirs."""
        return max((self.edges[part.name] for part in linear.parts), key=lambda edge: edge.bits)

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


@dataclass(frozen=True)
class _Numbers:
    """Gives the specs that a unit's numbers follow from. Their geometry, which has no part in the numbers, is the
    simplest. ``max_length``: tokens of the longest text."""

    lowering: Lowering
    max_length: int

    def linear(self, linear: Linear) -> tuple[RowQuantiseSpec | SpreadRowsSpec, RequantiseSpec]:
        rows, block = self.lowering.row_quantise(linear, **SIMPLEST), spread_before(self.lowering.graph, linear)
        own = SpreadRowsSpec(block=block, quantise=rows) if block else rows
        return own, self.lowering.requantise(linear, **SIMPLEST)

    def attention(self, attention: Attention) -> tuple[Any, ...]:
        if self.lowering.edges[attention.queries].bits == 16:
            own = GroupedAttentionSpec(
                heads=attention.heads,
                kv_heads=attention.kv_heads,
                head_size=attention.head_size,
                max_length=self.max_length,
            )
            return own, self.lowering.context(attention, **SIMPLEST)
        sizes: dict[str, Any] = {
            "heads": attention.heads,
            "head_size": attention.head_size,
            "max_length": self.max_length,
        }
        sizes |= dict.fromkeys(("rows", "columns", "cascades", "lanes_in", "lanes_stored", "lanes"), 1)
        softmax = self.lowering.softmax(
            attention, max_length=self.max_length, score_bits=SCORE_BITS, key_multiple=1, value_multiple=1, **SIMPLEST
        )
        context = self.lowering.context(attention, **SIMPLEST)
        return ScoresSpec(**sizes), softmax, WeightedSumsSpec(**sizes), context

    def norm(self, norm: Norm) -> LayerNormSpec:
        if norm.root_mean_square:
            return RMSNormSpec(
                features=norm.factors, heads=norm.features // norm.factors,
                input_bits=self.lowering.edges[norm.source].bits, **SIMPLEST,
            )  # fmt: skip
        return self.lowering.norm(norm, **SIMPLEST)

    headnorm = norm

    def rotary(self, rotary: Rotary) -> RotarySpec:
        bits = self.lowering.edges[rotary.name].bits
        return RotarySpec(angles=rotary.angles, head_size=rotary.head_size, output_bits=bits)

    def gate(self, gate: Gate) -> GateSpec:
        return GateSpec()

    def add(self, add: Add) -> ResidualSpec:
        return self.lowering.residual(add, depth=1, **SIMPLEST)

    def table(self, table: Table) -> ActivationSpec:
        return self.lowering.activation(table, max_tiles=1, **SIMPLEST)


@cache
def _numeric_specs(graph: Graph, looped: bool, max_length: int) -> dict[str, Any]:
    numbers = _Numbers(Lowering(graph, looped=looped), max_length)
    return {operator.name: operator.visit(numbers) for operator in graph}


def numeric_specs(network: Network, graph: Graph) -> dict[str, Any]:
    """The specs for the integer reference of one of a network's graphs, by operator: row quantiser and requantiser of a
    linear one; scores, softmax, sums and requantiser of attention, or of one whose queries have 16 bits, the whole and
    the requantiser; else a single one.

    Raises:
        ValueError: for numbers that a kernel does not take.
    """
    return _numeric_specs(graph, graph == network.layer, network.max_positions)
