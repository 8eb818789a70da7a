"""Weights out of a Hugging Face checkpoint: its tensors' names, and which a BERT encoder must and may have."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from .reader import TensorReader, without
from .shards import open_tensors
from .spec import BertSpec
from .weights import BertWeights, Embedding, LayerWeights

__all__ = ["Checkpoint", "load_checkpoint"]

DENSE = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "projection": "attention.output.dense",
    "ffn1": "intermediate.dense",
    "ffn2": "output.dense",
}
NORMS = {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
"""Where a layer's operators are found, under ``encoder.layer.N.``"""

PREFIXES = ("model.", "bert.")

BUFFERS = re.compile(r"embeddings\.(position|token_type)_ids$")
"""Tensors that a checkpoint may have though they are no weights: indices."""

Weights = TypeVar("Weights")


@dataclass(frozen=True)
class Checkpoint(Generic[Weights]):
    """The weights that were read, and the names of the tensors of heads, which are ignored."""

    weights: Weights
    ignored: tuple[str, ...]


def load_checkpoint(path: Path, spec: BertSpec) -> Checkpoint[BertWeights]:
    """The weights in a safetensors file, or in the shards of an index, for an encoder of the shape ``spec``.

    Names may begin with ``bert.`` or ``model.``, and LayerNorm parameters may be called gamma and beta.

    Raises:
        InputError: for a file that cannot be read or lacks a tensor, and for tensors that are of another shape, not
            finite, or of no known use, with the tensor's name.
    """
    reader = TensorReader(open_tensors(path), _plain)
    embedding = Embedding(
        word=reader.take("embeddings.word_embeddings.weight", spec.vocabulary, spec.hidden),
        position=reader.take("embeddings.position_embeddings.weight", spec.max_positions, spec.hidden),
        token_type=reader.take("embeddings.token_type_embeddings.weight", spec.token_types, spec.hidden),
        norm=reader.norm("embeddings.LayerNorm", spec.hidden),
    )
    layers = tuple(_layer(reader, f"encoder.layer.{index}.", spec) for index in range(spec.layers))
    ignored = reader.rest(BUFFERS, spec.name)
    weights = BertWeights(spec=spec, embedding=embedding, layers=layers, source=f"weights of {path}")
    return Checkpoint(weights, ignored)


def _plain(name: str) -> str:
    """A tensor's name in a plain encoder."""
    name = without(name, PREFIXES)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _layer(reader: TensorReader, prefix: str, spec: BertSpec) -> LayerWeights:
    sizes = dict.fromkeys(DENSE, (spec.hidden, spec.hidden))
    sizes |= {"ffn1": (spec.intermediate, spec.hidden), "ffn2": (spec.hidden, spec.intermediate)}
    operators: dict[str, Any] = {own: reader.dense(prefix + name, *sizes[own]) for own, name in DENSE.items()}
    operators |= {own: reader.norm(prefix + name, spec.hidden) for own, name in NORMS.items()}
    return LayerWeights(**operators)
