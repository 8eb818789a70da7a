"""Composes the units of a graph: each operator's units are placed and connected to the tensors that they read."""

from collections.abc import Callable, Mapping
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import data

from ..hierarchy import place
from ..kernels.activation import Activation
from ..kernels.layernorm import LayerNorm
from ..kernels.requantise import Requantise
from ..kernels.residual import ResidualAdd
from ..kernels.rowquantise import RowQuantise
from ..kernels.scores import Scores
from ..kernels.softmax import Softmax
from ..kernels.weightedsum import WeightedSums
from ..model.architecture import Add, Attention, Graph, Linear, Norm, Operator, Table
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.geometry.section import OperatorUnit
from ..stream import Fork, StreamBuffer, connect
from .part_split import PartSplit, PartSplitSpec

__all__ = ["GraphComposition"]

FACTORS = 4
"""Row factors that wait while their tiles are in a linear unit: two in the activation buffer, one in the sums, one
arriving."""

Units = Mapping[str, tuple[OperatorUnit, ...]]


class GraphComposition:
    """Builds a module of the units of graphs, with its ``orders`` (streams by the name of their reader) and
    ``parameters`` (components that deal out blocks).

    A subclass says how products are computed (`multiply`), and where keys and values lie besides the RAMs of the arrays
    (`attach` and `kept`)."""

    orders: dict[str, Any]

    def __init__(self, platform: Any, spec: PipelineSpec):
        self.m, self.platform, self.spec = Module(), platform, spec
        self.parameters: list[Any] = []
        self.waiting: dict[str, list[Any]] = {}
        """Streams of each tensor of the present graph whose readers are still to come."""

    def add(self, name: str, component: Any) -> Any:
        """Adds a component, a kernel as a module of its own; returns it."""
        is_kernel = hasattr(component, "spec")
        self.m.submodules[name] = place(self.platform, component) if is_kernel else component
        return component

    def order(self, name: str, sink: Any, *fields: str | int) -> None:
        """Fills the fields of ``sink``, one after the other, with fields of a reader's order or with constants."""
        source, payload = self.orders[name], sink.payload
        self.m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        own = [payload[member] for member in payload.shape().members] if isinstance(payload, data.View) else [payload]
        for target, field in zip(own, fields, strict=True):
            self.m.d.comb += target.eq(source.payload[field] if isinstance(field, str) else field)

    def channels(self, block: str, sink: Any) -> None:
        """Gives ``sink`` the parameters of a block."""
        source = next(getattr(one, block) for one in self.parameters if hasattr(one, block))
        self.m.d.comb += [
            Value.cast(sink.payload).eq(Value.cast(source.payload)),
            sink.valid.eq(source.valid),
            source.ready.eq(sink.ready),
        ]

    def multiply(self, product: Linear, rows: Any) -> Any:
        """The sums of a product for a stream of quantised rows."""
        raise NotImplementedError

    def walk(self, graph: Graph, units: Units, source: Any) -> Any:
        """Adds a graph's units between a ``source`` stream of its input and the stream of its output, which is
        returned."""
        self.waiting = {}
        self.give(graph, graph.input, source)
        steps: dict[type[Operator], Callable[[Any, tuple[OperatorUnit, ...]], list[Any]]] = {
            Linear: self.linear,
            Attention: self.attention,
            Norm: self.norm,
            Add: self.add_residual,
            Table: self.table,
        }
        for operator in graph:
            found = steps[type(operator)](operator, units[operator.name])
            for tensor, result in zip(operator.gives, found, strict=True):
                self.give(graph, tensor, result)
        return self.take(graph.output)

    def give(self, graph: Graph, tensor: str, source: Any) -> None:
        """Keeps a tensor's stream for its readers, forked where there are several."""
        readers = len(graph.readers(tensor)) + (tensor == graph.output)
        self.waiting[tensor] = self.forked(f"fork_{tensor}", source, readers) if readers > 1 else [source]

    def take(self, tensor: str) -> Any:
        """A tensor's stream for the next of its readers."""
        return self.waiting[tensor].pop(0)

    def forked(self, name: str, source: Any, readers: int) -> list[Any]:
        """A stream for each of several readers."""
        fork = self.add(name, Fork(source.payload.shape(), readers))
        connect(self.m, source, fork.input)
        return [*fork.outputs]

    def kernel(self, unit: OperatorUnit, component: Any) -> Any:
        """Adds a unit's component, and gives it its parameters."""
        self.add(unit.name, component)
        for member, block in unit.blocks.items():
            self.channels(block.name, getattr(component, member))
        return component

    def linear(self, product: Linear, units: tuple[OperatorUnit, ...]) -> list[Any]:
        """Row quantiser, product and requantiser; the parts of its result."""
        m, name = self.m, product.name
        rows = self.kernel(units[0], RowQuantise(units[0].spec))
        requantise = self.kernel(units[-1], Requantise(units[-1].spec))
        factors = self.add(f"factors_{name}", StreamBuffer(rows.factors.payload.shape(), FACTORS))
        connect(m, self.take(product.source), rows.values)
        connect(m, self.multiply(product, rows.quantised), requantise.sums)
        connect(m, rows.factors, factors.input)
        connect(m, factors.output, requantise.factors)
        if len(product.parts) == 1:
            return [requantise.values]
        spec = units[-1].spec
        beats = tuple(part.features // spec.lanes for part in product.parts)
        split = self.add(f"split_{name}", PartSplit(PartSplitSpec(spec.rows, spec.lanes, spec.output_bits, beats)))
        connect(m, requantise.values, split.input)
        return [*split.outputs]

    def attention(self, attention: Attention, units: tuple[OperatorUnit, ...]) -> list[Any]:
        """Scores, softmax, weighted sums and their requantiser."""
        m = self.m
        scores = self.kernel(units[0], Scores(units[0].spec))
        softmax = self.kernel(units[1], Softmax(units[1].spec))
        sums = self.kernel(units[2], WeightedSums(units[2].spec))
        context = self.kernel(units[3], Requantise(units[3].spec))
        factors = self.add(
            f"factors_{attention.name}", StreamBuffer(softmax.factors.payload.shape(), self.spec.heads_in_sums)
        )
        for unit, port in ((units[0], scores.order), (units[2], sums.order), (units[1], softmax.control)):
            self.order(unit.name, port, *unit.spec.order_fields)
        self.attach(scores, sums)
        connect(m, self.kept("keys", self.take(attention.keys)), scores.stored)
        connect(m, self.kept("values", self.take(attention.values)), sums.stored)
        connect(m, self.take(attention.queries), scores.activations)
        connect(m, scores.sums, softmax.scores)
        connect(m, softmax.numerators, sums.activations)
        connect(m, softmax.factors, factors.input)
        connect(m, sums.sums, context.sums)
        connect(m, factors.output, context.factors)
        return [context.values]

    def attach(self, scores: Scores, sums: WeightedSums) -> None:
        """Connects what loads earlier keys and values into the RAMs of the arrays, if there is anything."""

    def kept(self, name: str, source: Any) -> Any:
        """The stream of ``keys`` or ``values`` on its way into the RAMs, where somebody else may take it as well."""
        return source

    def norm(self, norm: Norm, units: tuple[OperatorUnit, ...]) -> list[Any]:
        """A normalisation."""
        component = self.kernel(units[0], LayerNorm(units[0].spec))
        connect(self.m, self.take(norm.source), component.values)
        return [component.normalised]

    def add_residual(self, add: Add, units: tuple[OperatorUnit, ...]) -> list[Any]:
        """A residual addition."""
        component = self.kernel(units[0], ResidualAdd(units[0].spec))
        connect(self.m, self.take(add.skip), component.skip)
        connect(self.m, self.take(add.branch), component.branch)
        return [component.total]

    def table(self, table: Table, units: tuple[OperatorUnit, ...]) -> list[Any]:
        """A function by its table."""
        component = self.kernel(units[0], Activation(units[0].spec))
        self.order(units[0].name, component.order, *units[0].spec.order_fields)
        connect(self.m, self.take(table.source), component.values)
        return [component.activated]
