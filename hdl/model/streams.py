"""The scales of the residual path of a network: of what goes past each branch, and of what is added to it.

The path goes from addition to addition, layer after layer. A branch has the scale of the sum, and what goes past it is
shifted to that scale. Two kinds of layers differ in what goes past:

**The result of a norm** (post-norm) has the full range of 16 bits for each row. A feature's scale may be smaller by a
power of two, 2**-places, where its values are small beside its readers' weights (balance); the places are rounded off
before the addition. The sum has 17 bits and goes to a norm, which does not care for its scale.

**The sum itself** (pre-norm) grows from layer to layer. Its scale begins as small as the embedding allows, and grows by
powers of two: each addition shifts what went past by as many places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..kernels.residual import MAX_PLACES
from .architecture import Add, Norm
from .calibrate import NetworkRanges, Ranges
from .edges import Scale
from .lowering import NumericSpecs
from .scaling import INT16, MARGIN, TINY, balance, least_norm_scales
from .weights import Dense, NormWeights, Parameters, Weights, linear_readers

__all__ = ["Streams", "residual_path"]

MEAN_PLACES = 2
"""Places of a feature whose values are as large beside its weights as those of the other features on average."""


@dataclass(frozen=True)
class Streams:
    """The residual path in a layer: the ``scales`` of its tensors and of the branches', [features] or a single one, by
    name; and the places by which each addition shifts what went past it, [features], by the addition's name."""

    scales: dict[str, np.ndarray]
    shifts: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Stop:
    """An addition on the path: of a layer, by its index, with the ranges and parameters of that layer."""

    layer: int
    add: Add
    ranges: Ranges
    parameters: Parameters


def residual_path(weights: Weights, ranges: NetworkRanges, embedded: float, *, balanced: bool) -> list[Streams]:
    """The residual path, layer by layer. ``embedded``: the largest magnitude that can enter the first layer, where
    the sum itself goes past. ``balanced``: see above."""
    graph = weights.network.layer
    specs = NumericSpecs.of(graph, True, weights.network.max_positions)
    stops = [
        _Stop(index, add, found, layer)
        for index, (layer, found) in enumerate(zip(weights.layers, ranges.layers, strict=True))
        for add in graph.of(Add)
    ]
    normed = specs.edges[graph.input].scale is Scale.PLACES
    path = _normed_path(weights, stops, specs, balanced) if normed else _summed_path(weights, stops, embedded)
    streams = [Streams({}, {}) for _ in weights.layers]
    for stop, (past, total, shifts, after) in zip(stops, path, strict=True):
        own = streams[stop.layer]
        own.scales.update({stop.add.skip: past, stop.add.name: total, stop.add.branch: total})
        own.shifts[stop.add.name] = shifts
        own.scales[graph.output] = after  # the last of a layer's stops decides
    return streams


Step = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""At an addition: the scales of what goes past and of the sum, the shifts, and the scales of what goes past next."""


def _summed_path(weights: Weights, stops: Sequence[_Stop], embedded: float) -> Iterator[Step]:
    """The path of sums. Each scale suits the branch and the sum, and the first suits what can be ``embedded``. An early
    scale is made coarser where a shift would be greater than the hardware has."""
    largest = [max(stop.ranges[name].max() for name in (stop.add.name, stop.add.branch)) for stop in stops]
    scales = np.maximum([embedded, *(MARGIN * one for one in largest)], TINY) / INT16
    steps = np.maximum.accumulate(np.ceil(np.log2(scales / scales[0]))).astype(np.int64)
    for index in reversed(range(len(steps) - 1)):
        steps[index] = max(steps[index], steps[index + 1] - MAX_PLACES)
    path = np.ldexp(scales[0], steps)
    for (past, total), places in zip(pairwise(path), np.diff(steps), strict=True):
        yield past, total, np.full(weights.network.hidden, places), total


def _normed_path(weights: Weights, stops: Sequence[_Stop], specs: NumericSpecs, balanced: bool) -> Iterator[Step]:
    """The path of norms' results."""
    graph, epsilon = specs.graph, weights.network.norm_eps
    last = graph.maker(graph.output)
    found: list[tuple[float, np.ndarray]] = []  # scales of the path before each addition, and the places of features
    for index, stop in enumerate(stops):
        maker = graph.maker(stop.add.skip)
        before = stops[index - 1] if index else None
        norm = maker or (last if before else None)
        owner = stop.parameters if maker else before.parameters if before else {}
        least = _least(specs, norm, owner, epsilon, found)
        readers = linear_readers(graph, stop.add.skip, stop.parameters)
        found.append(_balanced(stop.ranges[stop.add.skip], least, stop.ranges[stop.add.branch], readers, balanced))
    end = stops[-1]
    least = _least(specs, last, end.parameters, epsilon, found)
    found.append(_balanced(end.ranges[graph.output], least, np.zeros(1), [], balanced=False))
    for (scale, places), (after, after_places) in pairwise(found):
        yield np.ldexp(scale, -places), np.array(scale), places, np.ldexp(after, -after_places)


def _least(
    specs: NumericSpecs,
    norm: object,
    parameters: Parameters,
    epsilon: float,
    found: Sequence[tuple[float, np.ndarray]],
) -> np.ndarray | float:
    """The least scales of a norm's result that its words can hold; 0 for what the host's embedding gives."""
    if not isinstance(norm, Norm):
        return 0.0
    own = parameters[norm.name]
    assert isinstance(own, NormWeights)
    return least_norm_scales(specs.of_norm(norm), own.gamma, own.beta, epsilon / found[-1][0] ** 2)


def _balanced(
    features: np.ndarray, least: np.ndarray | float, branch: np.ndarray, readers: Sequence[Dense], balanced: bool
) -> tuple[float, np.ndarray]:
    """The scale for features (their ranges, and their least scales) that ``readers`` take and to which a branch (its
    ranges) is added, and the features' places."""
    needed = np.maximum(MARGIN * np.maximum(features, TINY) / INT16, least)
    scale = max(needed.max(), MARGIN * branch.max() / INT16)
    if not balanced or not readers:
        return scale, np.zeros(features.shape, dtype=np.int64)
    room = np.floor(np.log2(scale / needed))
    places = np.minimum(MEAN_PLACES - np.rint(balance(features, readers)), room)
    return scale, np.clip(places, 0, MAX_PLACES).astype(np.int64)
