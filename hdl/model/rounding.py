"""How weights become integers: of 8 bits, each the nearest; or of 4 bits in groups, by GPTQ; operator by operator."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .architecture import Graph, Linear
from .floating import Trace, embed, run_graph
from .gptq import gptq
from .groups import group_of, group_scales, nearest
from .scaling import quantise_rows, safe_scales
from .weightbits import WeightBits
from .weights import Weights

__all__ = ["GroupRounding", "NearestRounding", "group_roundings"]


class NearestRounding:
    """Weights of 8 bits. Members: ``factors``, none."""

    def __init__(self) -> None:
        self.factors: dict[str, np.ndarray] = {}

    def __call__(self, name: str, weight: np.ndarray, input_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 weights and their scales [outputs] of the real ones [outputs, inputs] of a linear operator. The weights
        hold the scales of its inputs [inputs]. The sums of the integers fit whatever the rows."""
        return quantise_rows(weight, least=safe_scales(weight))


class GroupRounding(NearestRounding):
    """Weights of 4 bits times the factor of their group, for operators whose inputs have the ``hessians`` [inputs,
    inputs]; of 8 bits, as `NearestRounding`'s, for those that have none.

    Members: ``factors``, uint8 [outputs, groups], of each operator that was rounded.
    """

    def __init__(self, hessians: Mapping[str, np.ndarray]):
        super().__init__()
        self.hessians = hessians

    def __call__(self, name: str, weight: np.ndarray, input_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `NearestRounding`."""
        if name not in self.hessians:
            return super().__call__(name, weight, input_scales)
        hessian = self.hessians[name] / np.outer(input_scales, input_scales)
        scale, factors = group_scales(weight, np.diag(hessian), safe_scales(weight))
        wide = np.where(scale > 0, scale, 1)
        steps, group = wide[:, None] * factors, group_of(weight.shape[1])

        def rounded(column: np.ndarray, index: int) -> np.ndarray:
            step = steps[:, group[index]]
            return nearest(column, step) * step

        self.factors[name] = factors
        return np.rint(gptq(weight, hessian, rounded) / wide[:, None]).astype(np.int8), scale


def group_roundings(
    weights: Weights, calibration: Sequence[Sequence[int]], weight_bits: WeightBits
) -> Iterator[GroupRounding]:
    """For each layer, and at last for the head, the rounding that suits the inputs that the texts cause."""
    inputs = [embed(token_ids, weights) for token_ids in calibration]
    for _, graph, parameters in weights.stages:
        traces = [run_graph(graph, x, parameters, weights.network) for x in inputs]
        inputs = [trace[graph.output] for trace in traces]
        yield GroupRounding(_hessians(graph, traces, weight_bits))


def _hessians(graph: Graph, traces: Sequence[Trace], weight_bits: WeightBits) -> dict[str, np.ndarray]:
    """For each operator whose weights have 4 bits the sum of x x^T over its input rows of all texts: half of what the
    published algorithm calls so, to the same end."""
    rows = {
        linear.name: np.concatenate([trace[linear.source] for trace in traces])
        for linear in graph.of(Linear)
        if weight_bits[linear.name] == 4
    }
    return {name: (stacked.T @ stacked).astype(np.float64) for name, stacked in rows.items()}
