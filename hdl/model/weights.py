"""The weights of a BERT encoder in float32, and random ones."""

from dataclasses import dataclass

import numpy as np

from .spec import BertSpec

__all__ = ["BertWeights", "Dense", "Embedding", "LayerWeights", "Norm", "random_weights"]


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
    """A layer's operators in the order of use."""

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


def random_weights(spec: BertSpec, seed: int) -> BertWeights:
    """Weights drawn by ``seed``, with activations like a trained model's: unequal attention, a few outlier features.

    (BERT's own initial weights are no stand-in for trained ones: their scores are near 0, their attention is flat.)
    """
    generator = np.random.default_rng(seed)

    def normal(*shape: int, spread: float) -> np.ndarray:
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(spread)

    def dense(outputs: int, inputs: int, gain: float) -> Dense:
        return Dense(normal(outputs, inputs, spread=gain / np.sqrt(inputs)), normal(outputs, spread=0.1))

    def norm() -> Norm:
        gamma = np.abs(1 + normal(spec.hidden, spread=0.2))
        outliers = generator.choice(spec.hidden, max(1, spec.hidden // 128), replace=False)
        gamma[outliers] *= 4
        return Norm(gamma, normal(spec.hidden, spread=0.2))

    def layer() -> LayerWeights:
        hidden, inner = spec.hidden, spec.intermediate
        return LayerWeights(
            query=dense(hidden, hidden, 1.4),
            key=dense(hidden, hidden, 1.4),
            value=dense(hidden, hidden, 1.0),
            projection=dense(hidden, hidden, 0.7),
            norm1=norm(),
            ffn1=dense(inner, hidden, 1.0),
            ffn2=dense(hidden, inner, 1.0),
            norm2=norm(),
        )

    embedding = Embedding(
        word=normal(spec.vocabulary, spec.hidden, spread=1.0),
        position=normal(spec.max_positions, spec.hidden, spread=0.3),
        token_type=normal(spec.token_types, spec.hidden, spread=0.1),
        norm=norm(),
    )
    layers = tuple(layer() for _ in range(spec.layers))
    return BertWeights(spec=spec, embedding=embedding, layers=layers, source=f"random weights, seed {seed}")
