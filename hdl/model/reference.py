"""The integer reference of the whole encoder, made of the kernels' references: the truth for the hardware."""

import numpy as np

from ..errors import InputError
from .quantised import QuantisedBert, QuantisedLayer
from .spec import BertSpec
from .units import Trace, Units

__all__ = ["Trace", "run", "run_layer"]


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
    units, trace = Units.of(spec), Trace()
    units.project(trace, layer, tokens)
    units.attend(trace, layer, trace["keys"], trace["values"])
    trace["residual1"] = units.residual.reference(tokens, trace["projection"], layer.residual1)
    trace["norm1"] = units.norm.reference(trace["residual1"], layer.norm1)
    units.feed_forward(trace, layer, trace["norm1"])
    trace["residual2"] = units.residual.reference(trace["norm1"], trace["ffn2"], layer.residual2)
    trace["norm2"] = units.norm.reference(trace["residual2"], layer.norm2)
    return trace
