"""The kernels' references, put together to what encoders and decoders share: linear units, attention, feed-forward."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..kernels.activation import ActivationSpec
from ..kernels.layernorm import LayerNormSpec
from ..kernels.linear import exact_matmul
from ..kernels.parameters import ChannelParameters, RowFactors
from ..kernels.requantise import RequantiseSpec
from ..kernels.residual import ResidualSpec
from ..kernels.rowquantise import RowQuantiseSpec
from ..kernels.scores import ScoresSpec
from ..kernels.softmax import SoftmaxSpec
from ..kernels.weightedsum import WeightedSumsSpec
from .quantised import LINEAR_UNITS, QuantisedLayer
from .spec import ModelSpec

__all__ = ["SUM_BITS", "Trace", "Units", "linear"]

Trace = dict[str, np.ndarray]
"""Integers by name, in the order of the data: tensors [tokens, features] (scores and numerators [heads, queries,
keys]), and row factors with mantissa and exponent on the last axis."""

SUM_BITS, SCORE_BITS = 27, 26


@dataclass(frozen=True)
class Units:
    """The kernels' specs for a model; their geometry, which has no part in the numbers, is the simplest."""

    rows: dict[str, RowQuantiseSpec]
    requantise: dict[str, RequantiseSpec]
    scores: ScoresSpec
    softmax: SoftmaxSpec
    weighted_sums: WeightedSumsSpec
    residual: ResidualSpec
    norm: LayerNormSpec
    activation: ActivationSpec

    @classmethod
    @cache
    def of(cls, spec: ModelSpec) -> "Units":
        """The units of a model.

        A decoder's are causal, and its residual stream, which is what a layer takes and gives, has 16 bits; an
        encoder's has 17 for the LayerNorm that follows.
        """
        decoder = spec.family == "gpt2"
        hidden, inner = spec.hidden, spec.intermediate
        outputs = {"qkv": 3 * hidden, "context": hidden, "projection": hidden, "ffn1": inner, "ffn2": hidden}
        sizes = {"heads": spec.heads, "head_size": spec.head_size, "max_length": spec.max_positions}
        attention: dict[str, Any] = sizes | dict.fromkeys(
            ("rows", "columns", "cascades", "lanes_in", "lanes_stored", "lanes"), 1
        )
        return cls(
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
                causal=decoder,
            ),
            weighted_sums=WeightedSumsSpec(**attention),
            residual=ResidualSpec(rows=1, lanes=1, depth=1, output_bits=16 if decoder else 17),
            norm=LayerNormSpec(rows=1, lanes=1, features=hidden, input_bits=16 if decoder else 17),
            activation=ActivationSpec(rows=1, lanes=1, features=inner, max_tiles=1),
        )

    def project(self, trace: Trace, layer: QuantisedLayer, values: np.ndarray) -> None:
        """Keys, values and queries of rows [tokens, hidden]: adds them to the trace, and what leads to them."""
        self.linear(trace, layer, "qkv", values)
        trace["keys"], trace["values"], trace["queries"] = np.split(trace.pop("qkv"), 3, axis=1)

    def attend(self, trace: Trace, layer: QuantisedLayer, keys: np.ndarray, values: np.ndarray) -> None:
        """Attention of the trace's queries, over keys and values [keys, hidden] of which they are the last, and the
        projection."""
        trace["scores"] = self.scores.reference(trace["queries"], keys)
        start = len(keys) - len(trace["queries"])
        trace["numerators"], factors = self.softmax.reference(trace["scores"], layer.scores, position=start)
        trace["factors_context"] = np.stack([factors.mantissa, factors.exponent], axis=-1)
        trace["sums_context"] = self.weighted_sums.reference(trace["numerators"], values)
        factors = RowFactors(mantissa=factors.mantissa.T, exponent=factors.exponent.T)
        trace["context"] = self.requantise["context"].reference(trace["sums_context"], layer.context, factors)
        self.linear(trace, layer, "projection", trace["context"])

    def feed_forward(self, trace: Trace, layer: QuantisedLayer, values: np.ndarray) -> None:
        """The feed-forward part for rows [tokens, hidden]: its result is the trace's ``ffn2``."""
        self.linear(trace, layer, "ffn1", values)
        trace["activation"] = self.activation.reference(trace["ffn1"], layer.activation)
        self.linear(trace, layer, "ffn2", trace["activation"])

    def linear(self, trace: Trace, layer: QuantisedLayer, unit: str, values: np.ndarray) -> None:
        """One of the `LINEAR_UNITS`; see `linear`."""
        kernels, weight = (self.rows[unit], self.requantise[unit]), layer.weights(unit)
        linear(trace, unit, kernels, values, weight, getattr(layer, unit), layer.limit(unit))


def linear(
    trace: Trace,
    unit: str,
    kernels: tuple[RowQuantiseSpec, RequantiseSpec],
    values: np.ndarray,
    weight: np.ndarray,
    channels: ChannelParameters,
    limit: int,
) -> None:
    """Row quantiser, ``weight`` [outputs, inputs], requantiser: adds ``rows_``, ``factors_``, ``sums_UNIT`` and
    ``UNIT`` to the trace."""
    rows, factors = kernels[0].reference(values, limit)
    sums = exact_matmul(rows, weight.T)
    trace[f"rows_{unit}"], trace[f"factors_{unit}"] = rows, np.stack([factors.mantissa, factors.exponent], axis=-1)
    trace[f"sums_{unit}"] = sums
    factors = RowFactors(mantissa=factors.mantissa[:, None], exponent=factors.exponent[:, None])
    trace[unit] = kernels[1].reference(sums, channels, factors)
