"""How weights become integers, operator by operator: of 8 bits, each the nearest, or by GPTQ; or of fewer in groups, by
GPTQ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .architecture import Graph, Linear
from .edges import spread_before
from .floating import Trace, embed, run_graph
from .gptq import gptq
from .groups import FORMATS, group_of, group_scales, nearest
from .hadamard import spread
from .scaling import LEVELS, quantise_rows, safe_scales
from .suited import is_suited
from .weightbits import WeightBits
from .weights import Weights

__all__ = ["GroupRounding", "Inputs", "NearestRounding", "group_roundings"]

FIRST_SHARE = 0.1
"""The most that first tokens, which may be massive, count in a matrix's inputs beside the others."""


class Inputs(NamedTuple):
    """What is known of a linear operator's input rows x: the ``hessian``, the sum of x x^T [inputs, inputs], which is
    half of what the published algorithm calls so, to the same end; and the ``power`` [inputs] of those that count for
    scales."""

    hessian: np.ndarray
    power: np.ndarray


class NearestRounding:
    """Weights of 8 bits. Members: ``factors``, none."""

    def __init__(self) -> None:
        self.factors: dict[str, np.ndarray] = {}

    def __call__(self, name: str, weight: np.ndarray, input_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 weights and their scales [outputs] of the real ones [outputs, inputs] of a linear operator. The weights
        hold the scales of its inputs [inputs]. The sums of the integers fit whatever the rows."""
        return quantise_rows(weight, least=safe_scales(weight))


class GroupRounding(NearestRounding):
    """Weights of ``weight_bits`` for operators whose ``inputs`` are known: with fewer than 8 bits, integers times the
    factor of their group. Of 8 bits, as `NearestRounding`'s, for the others.

    Members: ``factors``, uint8 [outputs, groups], of each operator that was rounded to fewer than 8 bits.
    """

    def __init__(self, inputs: Mapping[str, Inputs], weight_bits: WeightBits):
        super().__init__()
        self.inputs, self.weight_bits = inputs, weight_bits

    def __call__(self, name: str, weight: np.ndarray, input_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `NearestRounding`."""
        if name not in self.inputs:
            return super().__call__(name, weight, input_scales)
        own, form = self.inputs[name], FORMATS.get(self.weight_bits[name])
        hessian = own.hessian / np.outer(input_scales, input_scales)
        if form is None:
            _, scale = super().__call__(name, weight, input_scales)
            wide = np.where(scale > 0, scale, 1)
            found = gptq(weight, hessian, lambda column, _: np.clip(np.rint(column / wide), -LEVELS, LEVELS) * wide)
            return np.rint(found / wide[:, None]).astype(np.int8), scale
        scale, factors = group_scales(weight, own.power / input_scales**2, form, safe_scales(weight))
        wide = np.where(scale > 0, scale, 1)
        steps, group = wide[:, None] * factors, group_of(weight.shape[1])

        def rounded(column: np.ndarray, index: int) -> np.ndarray:
            step = steps[:, group[index]]
            return nearest(column, step, form) * step

        self.factors[name] = factors
        return np.rint(gptq(weight, hessian, rounded) / wide[:, None]).astype(np.int8), scale


def group_roundings(
    weights: Weights, calibration: Sequence[Sequence[int]], weight_bits: WeightBits
) -> Iterator[GroupRounding]:
    """For each layer, and at last for the head, the rounding that suits the inputs that the texts cause. Where weights
    were made fit for integers (`suited`), those of a layer with 8 bits are rounded so too."""
    inputs = [embed(token_ids, weights) for token_ids in calibration]
    fit = is_suited(weights.network)
    for _, graph, parameters in weights.stages:
        traces = [run_graph(graph, x, parameters, weights.network) for x in inputs]
        inputs = [trace[graph.output] for trace in traces]
        every = fit and graph == weights.network.layer
        linears = [linear for linear in graph.of(Linear) if every or weight_bits[linear.name] < 8]
        yield GroupRounding({one.name: _inputs(graph, one, traces, capped=fit) for one in linears}, weight_bits)


def _inputs(graph: Graph, linear: Linear, traces: Sequence[Trace], *, capped: bool) -> Inputs:
    """The input rows of a linear operator over all texts. ``capped``: first tokens count little, and not for scales."""
    rows = [trace[linear.source] for trace in traces]
    if block := spread_before(graph, linear):
        rows = [spread(own, block) / np.float32(np.sqrt(block)) for own in rows]
    if not capped or all(len(own) == 1 for own in rows):
        stacked = np.concatenate(rows)
        hessian = (stacked.T @ stacked).astype(np.float64)
        return Inputs(hessian, np.diag(hessian))
    first, others = (np.concatenate(part) for part in zip(*((own[:1], own[1:]) for own in rows), strict=True))
    massive, hessian = ((part.T @ part).astype(np.float64) for part in (first, others))
    share = FIRST_SHARE / (1 - FIRST_SHARE) * np.trace(hessian) / max(np.trace(massive), np.finfo(float).tiny)
    return Inputs(hessian + min(1.0, share) * massive, np.diag(hessian))
