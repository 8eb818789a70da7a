"""The weights of a GPT-2 decoder in float32, and random ones."""

from dataclasses import dataclass

import numpy as np

from ..spec import Gpt2Spec
from ..weights import Draw, LayerWeights, Norm

__all__ = ["Gpt2Weights", "random_weights"]

OUTLIER = 8
"""How much larger a token's outlier features are, of random weights."""


@dataclass(frozen=True, kw_only=True)
class Gpt2Weights:
    """A whole decoder: tables ``word`` [vocabulary, hidden], which is the head's matrix too, and ``position``; layers,
    whose ``norm1`` is in front of attention and ``norm2`` in front of the feed-forward part; the last ``norm``.

    ``source`` says in a few words where the weights come from.
    """

    spec: Gpt2Spec
    word: np.ndarray
    position: np.ndarray
    layers: tuple[LayerWeights, ...]
    norm: Norm
    source: str


def random_weights(spec: Gpt2Spec, seed: int) -> Gpt2Weights:
    """Weights drawn by ``seed``, with activations like a trained model's: a residual stream that grows from layer to
    layer, with a few outlier features, and unequal attention.

    Raises:
        InputError: see `Draw`.
    """
    draw = Draw(spec, seed)
    # The spreads of the published GPT-2's tables.
    word = draw.normal(spec.vocabulary, spec.hidden, spread=0.14)
    position = draw.normal(spec.max_positions, spec.hidden, spread=0.05)
    outliers = draw.generator.choice(spec.hidden, max(1, spec.hidden // 256), replace=False)
    position[:, outliers] += OUTLIER * 0.14
    layers = []
    for _ in range(spec.layers):
        layer = draw.layer(spec.hidden, spec.intermediate)
        layer.ffn2.bias[outliers] += 1
        layers.append(layer)
    return Gpt2Weights(
        spec=spec,
        word=word,
        position=position,
        layers=tuple(layers),
        norm=draw.norm(spec.hidden),
        source=f"random weights, seed {seed}",
    )
