"""A graph in hardware: the units of its operators, and the parameters that these take."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ...kernels.parameters import Block
from ...model.architecture import Add, Graph, Norm, Operator
from .arrays import products
from .parameter_blocks import ParameterBlock, blocks_beats

__all__ = ["OperatorUnit", "Section", "named"]


class OperatorUnit(NamedTuple):
    """A unit of an operator: its ``name`` in the pipeline, its ``spec``, and the blocks of parameters that it takes, by
    the member that takes them."""

    name: str
    spec: Any  # a `UnitSpec` of some kind
    blocks: Mapping[str, ParameterBlock]


@dataclass(frozen=True)
class Section:
    """A graph in hardware: the ``units`` of each operator, whose parameters are dealt out ``width`` words a cycle."""

    graph: Graph
    units: Mapping[str, tuple[OperatorUnit, ...]]
    width: int

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the linear operators."""
        return products(self.graph)

    def __iter__(self) -> Iterator[OperatorUnit]:
        """All units, in the order of the data."""
        return (unit for units in self.units.values() for unit in units)

    @cached_property
    def parameters(self) -> tuple[ParameterBlock, ...]:
        """The parameters, in the order in which they arrive and are needed."""
        return tuple(self._ordered())

    @property
    def beats(self) -> int:
        """Beats of the parameter channel that they take."""
        return blocks_beats(self.parameters, self.width)

    def _ordered(self) -> Iterator[ParameterBlock]:
        """The blocks, operator by operator. The epsilon of a norm comes before the words of the addition in front of
        it: the norm adds up the squares of a tile while these are still being used."""

        def of(operator: Operator) -> dict[str, ParameterBlock]:
            return {member: block for unit in self.units[operator.name] for member, block in unit.blocks.items()}

        graph = self.graph
        for operator in graph:
            if isinstance(operator, Add):
                readers = graph.readers(operator.name)
                yield from (of(reader)["epsilon"] for reader in readers if isinstance(reader, Norm))
            for member, block in of(operator).items():
                early = isinstance(operator, Norm) and isinstance(graph.maker(operator.source), Add)
                if not (early and member == "epsilon"):
                    yield block


def named(parameters: Mapping[str, Block], **names: str) -> dict[str, ParameterBlock]:
    """A unit's parameters by member, called so in the channel of parameters."""
    return {member: ParameterBlock(names[member], *block) for member, block in parameters.items()}
