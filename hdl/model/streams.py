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
from .architecture import Add, Operator
from .calibrate import Ranges
from .edges import Scale, edges
from .lowering import numeric_specs
from .scaling import INT16, MARGIN, TINY, balance, least_norm_scales
from .weights import Dense, Parameters, Weights, linear_readers

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


def residual_path(weights: Weights, ranges: Sequence[Ranges], embedded: float, *, balanced: bool) -> list[Streams]:
    """The residual path, layer by layer. ``embedded``: the largest magnitude that can enter the first layer, where
    the sum itself goes past. ``balanced``: see above."""
    graph = weights.network.layer
    stops = [
        _Stop(index, add, ranges[index], layer) for index, layer in enumerate(weights.layers) for add in graph.of(Add)
    ]
    normed = edges(graph, looped=True)[graph.input].scale is Scale.PLACES
    path = _normed_path(weights, stops, balanced) if normed else _summed_path(weights, stops, embedded)
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


def _normed_path(weights: Weights, stops: Sequence[_Stop], balanced: bool) -> Iterator[Step]:
    """The path of norms' results."""
    network, graph = weights.network, weights.network.layer
    specs = numeric_specs(network, graph)
    found: list[tuple[float, np.ndarray]] = []  # scales of the path before each addition, and the places of features

    def least(norm: Operator | None, parameters: Parameters) -> np.ndarray | float:
        """The least scales of a norm's result that its words can hold; 0 for what the host's embedding gives."""
        if not norm or not found:
            return 0.0
        own = parameters[norm.name]
        return least_norm_scales(specs[norm.name], own.gamma, own.beta, network.norm_eps / found[-1][0] ** 2)

    last, before = graph.maker(graph.output), stops[0].parameters
    for stop in stops:
        maker = graph.maker(stop.add.skip)
        smallest = least(maker, stop.parameters) if maker else least(last, before)
        readers = linear_readers(graph, stop.add.skip, stop.parameters)
        found.append(_balanced(stop.ranges[stop.add.skip], smallest, stop.ranges[stop.add.branch], readers, balanced))
        before = stop.parameters
    end = stops[-1].ranges[graph.output]
    found.append(_balanced(end, least(last, before), np.zeros(1), [], balanced=False))
    for (scale, places), (after, after_places) in pairwise(found):
        yield np.ldexp(scale, -places), np.array(scale), places, np.ldexp(after, -after_places)


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
