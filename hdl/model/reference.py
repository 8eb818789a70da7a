"""The integer reference of the whole encoder, made of the kernels' references: the truth for the hardware."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels.activation import ActivationSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.linear import exact_matmul
from ..kernels.parameters import RowFactors
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.scores import ScoresSpec
from ..kernels.softmax import SoftmaxSpec
from ..kernels.weightedsum import WeightedSumsSpec
from .quantised import LINEAR_UNITS, QuantisedBert, QuantisedLayer
from .spec import BertSpec

__all__ = ["Trace", "run", "run_layer"]

Trace = dict[str, np.ndarray]
"""Integers by name, in the order of the data: tensors [tokens, features] (scores and numerators [heads, queries,
keys]), and row factors with mantissa and exponent on the last axis."""

SUM_BITS, SCORE_BITS = 27, 26


def run(model: QuantisedBert, tokens: np.ndarray) -> list[np.ndarray]:
    """Every layer's output, int16 [tokens, hidden], for embedded tokens (see `QuantisedBert.embed`) of this shape.

    Raises:
        InputError: for tokens of another shape, none, or more than the model has positions for.
    """
    features = np.asarray(tokens)
    limit, hidden = model.spec.max_positions, model.spec.hidden
    if features.ndim != 2 or features.shape[1] != hidden or not 1 <= len(features) <= limit:
        shape = " x ".join(map(str, features.shape))
        raise InputError(f"tokens for model {model.spec.name!r} must be of shape 1..{limit} x {hidden}, not {shape}")
    outputs = []
    for layer in model.layers:
        features = run_layer(layer, features, model.spec)["norm2"].astype(np.int16)
        outputs.append(features)
    return outputs


def run_layer(layer: QuantisedLayer, tokens: np.ndarray, spec: BertSpec) -> Trace:
    """Every intermediate of a layer for its input [tokens, hidden]; ``norm2`` is its output."""
    kernels, trace = _kernels(spec), Trace()
    _linear(trace, layer, kernels, "qkv", tokens)
    trace["keys"], trace["values"], trace["queries"] = np.split(trace.pop("qkv"), 3, axis=1)
    trace["scores"] = kernels.scores.reference(trace["queries"], trace["keys"])
    trace["numerators"], factors = kernels.softmax.reference(trace["scores"], layer.scores)
    trace["factors_context"] = np.stack([factors.mantissa, factors.exponent], axis=-1)
    trace["sums_context"] = kernels.weighted_sums.reference(trace["numerators"], trace["values"])
    factors = RowFactors(mantissa=factors.mantissa.T, exponent=factors.exponent.T)
    trace["context"] = kernels.requantise["context"].reference(trace["sums_context"], layer.context, factors)
    _linear(trace, layer, kernels, "projection", trace["context"])
    trace["residual1"] = kernels.residual.reference(tokens, trace["projection"], layer.residual1)
    trace["norm1"] = kernels.norm.reference(trace["residual1"], layer.norm1)
    _linear(trace, layer, kernels, "ffn1", trace["norm1"])
    trace["activation"] = kernels.activation.reference(trace["ffn1"], layer.activation)
    _linear(trace, layer, kernels, "ffn2", trace["activation"])
    trace["residual2"] = kernels.residual.reference(trace["norm1"], trace["ffn2"], layer.residual2)
    trace["norm2"] = kernels.norm.reference(trace["residual2"], layer.norm2)
    return trace


@dataclass(frozen=True)
class _Kernels:
    """The kernels' specs for a model; their geometry, which has no part in the numbers, is the simplest."""

    rows: dict[str, RowQuantiseSpec]
    requantise: dict[str, RequantiseSpec]
    scores: ScoresSpec
    softmax: SoftmaxSpec
    weighted_sums: WeightedSumsSpec
    residual: ResidualSpec
    norm: LayerNormSpec
    activation: ActivationSpec


@cache
def _kernels(spec: BertSpec) -> _Kernels:
    hidden, inner = spec.hidden, spec.intermediate
    outputs = {"qkv": 3 * hidden, "context": hidden, "projection": hidden, "ffn1": inner, "ffn2": hidden}
    sizes = {"heads": spec.heads, "head_size": spec.head_size, "max_length": spec.max_positions}
    attention: dict[str, Any] = sizes | dict.fromkeys(
        ("rows", "columns", "cascades", "lanes_in", "lanes_stored", "lanes"), 1
    )
    return _Kernels(
        rows={
            unit: RowQuantiseSpec(rows=1, lanes=1, features=features, unsigned=unit == "ffn2")
            for unit, features in zip(LINEAR_UNITS, (hidden, hidden, hidden, inner), strict=True)
        },
        requantise={
            name: RequantiseSpec(
                rows=1,
                lanes=1,
                channels=channels,
                group=spec.head_size if name == "context" else channels,
                sum_bits=SUM_BITS,
                output_bits=8 if name == "qkv" else 16,
                symmetric=name == "qkv",
                zero_point=name == "ffn2",
            )
            for name, channels in outputs.items()
        },
        scores=ScoresSpec(**attention),
        softmax=SoftmaxSpec(
            rows=1,
            lanes=1,
            heads=spec.heads,
            max_length=spec.max_positions,
            score_bits=SCORE_BITS,
            key_multiple=1,
            value_multiple=1,
        ),
        weighted_sums=WeightedSumsSpec(**attention),
        residual=ResidualSpec(rows=1, lanes=1, depth=1),
        norm=LayerNormSpec(rows=1, lanes=1, features=hidden),
        activation=ActivationSpec(rows=1, lanes=1, features=inner, max_tiles=1),
    )


def _linear(trace: Trace, layer: QuantisedLayer, kernels: _Kernels, unit: str, values: np.ndarray) -> None:
    """Row quantiser, unit, requantiser: adds ``rows_``, ``factors_``, ``sums_UNIT`` and ``UNIT`` to the
    trace."""
    rows, factors = kernels.rows[unit].reference(values, layer.limit(unit))
    sums = exact_matmul(rows, layer.weights(unit).T)
    trace[f"rows_{unit}"], trace[f"factors_{unit}"] = rows, np.stack([factors.mantissa, factors.exponent], axis=-1)
    trace[f"sums_{unit}"] = sums
    factors = RowFactors(mantissa=factors.mantissa[:, None], exponent=factors.exponent[:, None])
    trace[unit] = kernels.requantise[unit].reference(sums, getattr(layer, unit), factors)
