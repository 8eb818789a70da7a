"""The systolic arrays of a layer: one for each linear operator of its graph, and two for its attention."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...model.architecture import Graph, Linear

__all__ = ["ATTENTION_ARRAYS", "ArrayShape", "Arrays", "array_names", "products"]

ATTENTION_ARRAYS = ("scores", "sums")
"""The arrays of attention: queries times keys, and numerators times values."""


class ArrayShape(NamedTuple):
    """Columns C and cascades P of a systolic array (D = 8 P)."""

    columns: int
    cascades: int

    @property
    def rams(self) -> int:
        """Cascades of all columns, each of which reads a RAM of its own."""
        return self.columns * self.cascades


class Arrays(Mapping[str, ArrayShape]):
    """The shapes of a layer's arrays by name: a value, which has a hash and is not changed."""

    def __init__(self, **shapes: tuple[int, int]):
        self._shapes = {name: ArrayShape(*shape) for name, shape in shapes.items()}
        self._hash = hash(tuple(self._shapes.items()))

    def __getitem__(self, name: str) -> ArrayShape:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __hash__(self) -> int:
        return self._hash

    def __or__(self, changes: Mapping[str, Any]) -> "Arrays":
        """These arrays, with other shapes for some."""
        return Arrays(**self._shapes | dict(changes))

    def __repr__(self) -> str:
        return f"Arrays({', '.join(f'{name}={tuple(shape)}' for name, shape in self._shapes.items())})"


def products(layer: Graph) -> tuple[str, ...]:
    """The names of a layer's linear operators, in the order of the data."""
    return tuple(operator.name for operator in layer.of(Linear))


def array_names(layer: Graph) -> tuple[str, ...]:
    """The names of all arrays of a layer: those of its products, then those of its attention."""
    return (*products(layer), *ATTENTION_ARRAYS)
