"""A network's layer as data: a small graph of typed operators, whose edges are named tensors.

A tensor has rows (tokens) and features. An operator reads tensors and gives new ones; the operators of a `Graph` stand
in an order in which they can be computed. Everything else walks this graph: the network in real numbers, the quantiser,
the integer reference, the hardware and the models of its cycles.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from .rotary import Angles

__all__ = ["Add", "Attention", "Gate", "Graph", "HeadNorm", "Linear", "Norm", "Operator", "Part", "Rotary", "Table"]


@dataclass(frozen=True)
class Operator:
    """What all operators have: a ``name``, which no other operator of the graph has. An operator that gives a single
    tensor gives it under this name."""

    name: str

    @property
    def reads(self) -> dict[str, int]:
        """The tensors that the operator reads, and the features of each."""
        raise NotImplementedError

    @property
    def gives(self) -> dict[str, int]:
        """The tensors that the operator gives, and the features of each."""
        raise NotImplementedError

    def visit(self, walk: Any) -> Any:
        """Calls the method of a ``walk`` for this type of operator: ``linear`` for a `Linear`; what that returns."""
        return getattr(walk, type(self).__name__.lower())(self)


@dataclass(frozen=True)
class Part:
    """A tensor of ``features`` features that a `Linear` gives, beside others."""

    name: str
    features: int


@dataclass(frozen=True)
class Linear(Operator):
    """The product of ``source``, which has ``inputs`` features, with a matrix of weights, plus a bias if ``bias``. Its
    outputs are the ``parts``, one after the other."""

    source: str
    inputs: int
    parts: tuple[Part, ...]
    bias: bool = True

    @property
    def reads(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.source: self.inputs}

    @property
    def gives(self) -> dict[str, int]:
        """See `Operator`."""
        return {part.name: part.features for part in self.parts}

    @property
    def outputs(self) -> int:
        """Features of all parts."""
        return sum(part.features for part in self.parts)

    @property
    def weights(self) -> int:
        """Weights of the matrix, which are also its multiplications for a token."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class RowOperator(Operator):
    """An operator whose result has as many ``features`` as its ``source``."""

    source: str
    features: int

    @property
    def reads(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.source: self.features}

    @property
    def gives(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.name: self.features}


@dataclass(frozen=True)
class Norm(RowOperator):
    """The normalisation of a row, with a factor and, unless ``root_mean_square``, a mean taken off and a bias added:
    LayerNorm, or RMSNorm."""

    root_mean_square: bool = False

    @property
    def factors(self) -> int:
        """Features of the factors."""
        return self.features


@dataclass(frozen=True)
class HeadNorm(Norm):
    """A norm of each of ``heads`` equal parts of a row by itself. All have the same factors."""

    heads: int = 1

    @property
    def factors(self) -> int:
        """See `Norm`."""
        return self.features // self.heads


@dataclass(frozen=True)
class Table(RowOperator):
    """A function of a single value, by its name in `functions`, of all values."""

    function: str


@dataclass(frozen=True)
class Rotary(RowOperator):
    """Rotary positions: pairs of neighbouring features of each head of ``head_size`` features, turned by ``angles``
    that grow with the position of the token."""

    head_size: int
    angles: Angles


@dataclass(frozen=True)
class Attention(Operator):
    """Softmax attention: ``heads`` heads of queries, which share ``kv_heads`` heads of keys and values, all of
    ``head_size`` features. ``causal``: a token sees only itself and the tokens before it."""

    queries: str
    keys: str
    values: str
    heads: int
    kv_heads: int
    head_size: int
    causal: bool

    @property
    def reads(self) -> dict[str, int]:
        """See `Operator`."""
        shared = self.kv_heads * self.head_size
        return {self.queries: self.heads * self.head_size, self.keys: shared, self.values: shared}

    @property
    def gives(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.name: self.heads * self.head_size}


@dataclass(frozen=True)
class Add(Operator):
    """A residual addition: ``skip``, which goes past a branch, plus the ``branch``'s result."""

    skip: str
    branch: str
    features: int

    @property
    def reads(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.skip: self.features, self.branch: self.features}

    @property
    def gives(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.name: self.features}


@dataclass(frozen=True)
class Gate(Operator):
    """The product of two tensors, value by value: the activated ``gate`` and ``values``."""

    gate: str
    values: str
    features: int

    @property
    def reads(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.gate: self.features, self.values: self.features}

    @property
    def gives(self) -> dict[str, int]:
        """See `Operator`."""
        return {self.name: self.features}


Kind = TypeVar("Kind", bound=Operator)


@dataclass(frozen=True)
class Graph:
    """Operators from the tensor ``input``, of ``features`` features, to the tensor ``output``.

    Raises:
        ValueError: for an operator that reads a tensor which is not there yet or has other features, and for two
            tensors or two operators of one name.
    """

    input: str
    features: int
    operators: tuple[Operator, ...]
    output: str

    def __post_init__(self) -> None:
        widths = {self.input: self.features}
        for operator in self.operators:
            where = f"operator {operator.name} must"
            for tensor, features in operator.reads.items():
                if tensor not in widths:
                    raise ValueError(f"{where} read tensors that are there, not {tensor}")
                if features != widths[tensor]:
                    raise ValueError(f"{where} read {features} features, not the {widths[tensor]} of {tensor}")
            for tensor, features in operator.gives.items():
                if tensor in widths:
                    raise ValueError(f"{where} give a new tensor, not {tensor} again")
                widths[tensor] = features
        if self.output not in widths:
            raise ValueError(f"output of a graph must be one of its tensors, not {self.output}")
        if len({operator.name for operator in self.operators}) < len(self.operators):
            raise ValueError("operators of a graph must have different names")

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The operators of one kind, in their order."""
        return tuple(operator for operator in self.operators if isinstance(operator, kind))

    def __getitem__(self, name: str) -> Operator:
        """The operator of that name.

        Raises:
            KeyError: where there is none.
        """
        return {operator.name: operator for operator in self.operators}[name]

    def __iter__(self) -> Iterator[Operator]:
        """The operators, in their order."""
        return iter(self.operators)

    @cached_property
    def widths(self) -> dict[str, int]:
        """The features of each tensor."""
        widths = {self.input: self.features}
        for operator in self.operators:
            widths |= operator.gives
        return widths

    def readers(self, tensor: str) -> tuple[Operator, ...]:
        """The operators that read a tensor."""
        return tuple(operator for operator in self.operators if tensor in operator.reads)

    def maker(self, tensor: str) -> Operator | None:
        """The operator that gives a tensor; None for the graph's input."""
        return next((operator for operator in self.operators if tensor in operator.gives), None)
