"""How GPT-2's weights become integers: of 8 bits, each the nearest; or of 4 bits in groups, by GPTQ; unit by unit."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..floating import normalise
from ..gptq import gptq
from ..groups import group_of, group_scales, nearest
from ..scaling import quantise_rows, safe_scales
from ..weightbits import WeightBits
from .floating import embed, run_layer
from .weights import Gpt2Weights

__all__ = ["GroupRounding", "NearestRounding", "group_roundings"]

READS = {"qkv": "norm1", "projection": "context", "ffn1": "norm2", "ffn2": "activation"}
"""What a layer's linear units take, by its name in the trace."""


class NearestRounding:
    """Weights of 8 bits. Members: ``factors``, none."""

    def __init__(self) -> None:
        self.factors: dict[str, np.ndarray] = {}

    def __call__(self, unit: str, weight: np.ndarray, input_units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 weights and their scales [outputs] of real ones [outputs, inputs], whose sums fit whatever the rows."""
        return quantise_rows(weight, least=safe_scales(weight))


class GroupRounding(NearestRounding):
    """Weights of 4 bits times the factor of their group, for units whose inputs have the ``hessians`` [inputs, inputs];
    of 8 bits, as `NearestRounding`'s, for those that have none.

    Members: ``factors``, uint8 [outputs, groups], of each unit that was rounded.
    """

    def __init__(self, hessians: Mapping[str, np.ndarray]):
        super().__init__()
        self.hessians = hessians

    def __call__(self, unit: str, weight: np.ndarray, input_units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 weights and their scales [outputs] of real ones [outputs, inputs] for inputs of these units [inputs]."""
        if unit not in self.hessians:
            return super().__call__(unit, weight, input_units)
        hessian = self.hessians[unit] / np.outer(input_units, input_units)
        scale, factors = group_scales(weight, np.diag(hessian), safe_scales(weight))
        wide = np.where(scale > 0, scale, 1)
        steps, group = wide[:, None] * factors, group_of(weight.shape[1])

        def rounded(column: np.ndarray, index: int) -> np.ndarray:
            step = steps[:, group[index]]
            return nearest(column, step) * step

        self.factors[unit] = factors
        return np.rint(gptq(weight, hessian, rounded) / wide[:, None]).astype(np.int8), scale


def group_roundings(
    weights: Gpt2Weights, calibration: Sequence[Sequence[int]], weight_bits: WeightBits
) -> Iterator[GroupRounding]:
    """For each layer, and at last for the unit ``head``, the rounding that suits the inputs that the texts cause."""
    bits = weight_bits._asdict()
    packed = {unit: name for unit, name in READS.items() if bits[unit] == 4}
    inputs = [embed(token_ids, weights) for token_ids in calibration]
    for layer in weights.layers:
        traces = [run_layer(x, layer, weights.spec) for x in inputs]
        inputs = [trace["residual2"] for trace in traces]
        yield GroupRounding({unit: _hessian([trace[name] for trace in traces]) for unit, name in packed.items()})
    head = {"head": [normalise(x, weights.norm, weights.spec) for x in inputs]} if weight_bits.head == 4 else {}
    yield GroupRounding({unit: _hessian(rows) for unit, rows in head.items()})


def _hessian(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of x x^T over the rows of all texts: half of what the published algorithm calls so, to the same end."""
    stacked = np.concatenate(rows)
    return (stacked.T @ stacked).astype(np.float64)
