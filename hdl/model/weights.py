"""The weights of a BERT encoder in float32, and random ones."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .network import Network
from .spec import BertSpec, ModelSpec

__all__ = ["BertWeights", "Dense", "Draw", "Embedding", "LayerWeights", "Norm", "random_weights"]

MOST_DRAWN = 1 << 31
"""Random weights of a model: more than gpt2-xl has, the largest that is built in."""


@dataclass(frozen=True)
class Dense:
    """A linear operator y = x W^T + b: ``weight`` [outputs, inputs], ``bias`` [outputs], float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Norm:
    """A LayerNorm's ``gamma`` and ``beta`` [hidden], float32."""

    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Tables ``word`` [vocabulary, hidden], ``position`` and ``token_type``, and the ``norm`` of their sum."""

    word: np.ndarray
    position: np.ndarray
    token_type: np.ndarray
    norm: Norm


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """A layer's operators, in the order in which BERT uses them (GPT-2 has each norm before what it follows here)."""

    query: Dense
    key: Dense
    value: Dense
    projection: Dense
    norm1: Norm
    ffn1: Dense
    ffn2: Dense
    norm2: Norm


@dataclass(frozen=True, kw_only=True)
class BertWeights:
    """A whole encoder. ``source`` says in a few words where the weights come from."""

    spec: BertSpec
    embedding: Embedding
    layers: tuple[LayerWeights, ...]
    source: str


class Draw:
    """Draws operators by a seed, whose activations are like a trained model's.

    Raises:
        InputError: for a model ``spec`` whose weights are more than a machine is likely to have room for.
    """

    def __init__(self, spec: ModelSpec, seed: int):
        if (numbers := Network.from_spec(spec).parameters) > MOST_DRAWN:
            raise InputError(
                f"random weights of model {spec.name!r} must be at most {MOST_DRAWN:,} numbers (8 GiB), "
                f"not {numbers:,}; choose a smaller shape"
            )
        self.generator = np.random.default_rng(seed)

    def normal(self, *shape: int, spread: float) -> np.ndarray:
        """An array of this standard deviation."""
        return self.generator.standard_normal(shape, dtype=np.float32) * np.float32(spread)

    def dense(self, outputs: int, inputs: int, gain: float) -> Dense:
        """A linear operator that makes of inputs of deviation 1 outputs of deviation ``gain``."""
        return Dense(self.normal(outputs, inputs, spread=gain / np.sqrt(inputs)), self.normal(outputs, spread=0.1))

    def norm(self, features: int) -> Norm:
        """A LayerNorm with a few outlier features."""
        gamma = np.abs(1 + self.normal(features, spread=0.2))
        outliers = self.generator.choice(features, max(1, features // 128), replace=False)
        gamma[outliers] *= 4
        return Norm(gamma, self.normal(features, spread=0.2))

    def layer(self, hidden: int, inner: int) -> LayerWeights:
        """A whole layer, whose attention is unequal."""
        return LayerWeights(
            query=self.dense(hidden, hidden, 1.4),
            key=self.dense(hidden, hidden, 1.4),
            value=self.dense(hidden, hidden, 1.0),
            projection=self.dense(hidden, hidden, 0.7),
            norm1=self.norm(hidden),
            ffn1=self.dense(inner, hidden, 1.0),
            ffn2=self.dense(hidden, inner, 1.0),
            norm2=self.norm(hidden),
        )


def random_weights(spec: BertSpec, seed: int) -> BertWeights:
    """Weights drawn by ``seed``, with activations like a trained model's: unequal attention, a few outlier features.

    (BERT's own initial weights are no stand-in for trained ones: their scores are near 0, their attention is flat.)

    Raises:
        InputError: see `Draw`.
    """
    draw = Draw(spec, seed)
    embedding = Embedding(
        word=draw.normal(spec.vocabulary, spec.hidden, spread=1.0),
        position=draw.normal(spec.max_positions, spec.hidden, spread=0.3),
        token_type=draw.normal(spec.token_types, spec.hidden, spread=0.1),
        norm=draw.norm(spec.hidden),
    )
    layers = tuple(draw.layer(spec.hidden, spec.intermediate) for _ in range(spec.layers))
    return BertWeights(spec=spec, embedding=embedding, layers=layers, source=f"random weights, seed {seed}")
