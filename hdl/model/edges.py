"""What the edges of a graph carry in integers: their bits and how they are scaled. It follows from who gives a tensor
and who reads it."""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from .architecture import Add, Attention, Gate, Graph, HeadNorm, Linear, Norm, Rotary, Table
from .hadamard import spread_block

__all__ = ["Edge", "Scale", "edges", "spread_before"]


class Scale(Enum):
    """Which values of a tensor have the same scale, which is the real value of the last place."""

    TENSOR = auto()
    """All values."""
    HEAD = auto()
    """The features of a head."""
    FEATURE = auto()
    """The values of a feature: its readers' weights take the scales in."""
    PLACES = auto()
    """The same scale, made smaller by a power of two for each feature: a residual addition rounds the places off."""


@dataclass(frozen=True)
class Edge:
    """A tensor of signed integers of so many ``bits``, or unsigned ones where it has a ``zero_point``: then 0 stands
    for the least value that the tensor can have."""

    bits: int
    scale: Scale
    zero_point: bool = False


@cache
def edges(graph: Graph, *, looped: bool) -> dict[str, Edge]:
    """The edges of a graph by tensor. ``looped``: its output is its input again, as in layers one after the other."""
    return {tensor: _edge(graph, tensor, looped) for tensor in graph.widths}


def spread_before(graph: Graph, linear: Linear) -> int:
    """Neighbouring features of a linear operator's input that are spread among themselves before its rows are
    quantised; 0 for none. A gate's products are so, as few of them are much larger than the others."""
    return spread_block(linear.inputs) if isinstance(graph.maker(linear.source), Gate) else 0


def _edge(graph: Graph, tensor: str, looped: bool) -> Edge:
    same = (graph.input, graph.output) if looped and tensor in (graph.input, graph.output) else (tensor,)
    maker = graph.maker(same[-1])
    readers = [reader for name in same for reader in graph.readers(name)]
    for reader in readers:
        if isinstance(reader, Attention):
            turned = isinstance(maker, Rotary) and tensor == reader.queries  # attention makes 8 bits of each query's 16
            return Edge(16 if turned else 8, Scale.FEATURE if tensor == reader.values else Scale.HEAD)
        if isinstance(reader, Rotary):
            return Edge(16, Scale.TENSOR if isinstance(maker, HeadNorm) else Scale.HEAD)
    if isinstance(maker, Add) and all(isinstance(reader, Norm) for reader in readers):
        return Edge(17, Scale.TENSOR)  # every sum of two tensors of 16 bits
    if isinstance(maker, Norm):
        past = any(isinstance(reader, Add) and reader.skip in same for reader in readers)
        return Edge(16, Scale.PLACES if past else Scale.FEATURE)
    if isinstance(maker, Attention):
        return Edge(16, Scale.FEATURE)
    return Edge(16, Scale.TENSOR, zero_point=isinstance(maker, Table))
