"""A quantised encoder, and the layers that all quantised models have: integers exactly as the hardware takes them, and
what the host needs around it.

It is saved and loaded as one file in the safetensors format, with a version and a checksum.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError
from ..fixed import saturate
from ..kernels.activation import ActivationSpec
from ..kernels.normparameters import NormParameters
from ..kernels.parameters import ChannelParameters
from . import floating
from .pooling import MEAN, Pooling
from .safetensors import SafeTensors, write_safetensors
from .spec import BertSpec, ModelSpec
from .weights import Embedding, Norm

__all__ = ["LINEAR_UNITS", "QuantisedBert", "QuantisedLayer", "is_quantised", "load_quantised", "save_quantised"]

Spec = TypeVar("Spec", bound=ModelSpec)

LINEAR_UNITS = ("qkv", "projection", "ffn1", "ffn2")
"""The units that bear weights, in the order of the data."""

CHANNEL_BLOCKS = ("qkv", "scores", "context", "projection", "residual1", "ffn1", "ffn2", "residual2")

NORMS = ("norm1", "norm2")

TABLES = ("word", "position", "token_type")

FORMAT, VERSION = "spatial-llm quantised model", "2"


@dataclass(frozen=True, kw_only=True)
class QuantisedLayer:
    """A layer's integers.

    Weights int8 [outputs, inputs]: ``qkv_weight`` [3 hidden, hidden], its outputs in the order keys, values, queries,
    each head by head; ``projection_weight``, ``ffn1_weight``, ``ffn2_weight``.

    Channel words: ``qkv`` [3 hidden] to int8; ``scores`` [heads] of the softmax; ``context`` [hidden], ``projection``,
    ``ffn1`` [intermediate] and ``ffn2`` to int16; ``residual1`` and ``residual2`` [hidden], of which only the shifts
    count: places by which the skipped values are rounded off before the branch is added. ``norm1`` and ``norm2``:
    channel words [hidden] and epsilon.

    ``activation``: the table's base and delta [entries, 2]. ``limits``: what the row quantisers in front of the
    `LINEAR_UNITS` take for a row's largest value, or 0 where they find it out.
    """

    qkv_weight: np.ndarray
    projection_weight: np.ndarray
    ffn1_weight: np.ndarray
    ffn2_weight: np.ndarray
    qkv: ChannelParameters
    scores: ChannelParameters
    context: ChannelParameters
    projection: ChannelParameters
    residual1: ChannelParameters
    norm1: NormParameters
    ffn1: ChannelParameters
    ffn2: ChannelParameters
    residual2: ChannelParameters
    norm2: NormParameters
    activation: np.ndarray
    limits: tuple[int, int, int, int]

    def weights(self, unit: str) -> np.ndarray:
        """The weights of one of the `LINEAR_UNITS`."""
        found: np.ndarray = getattr(self, f"{unit}_weight")
        return found

    def limit(self, unit: str) -> int:
        """The limit of the row quantiser in front of one of the `LINEAR_UNITS`."""
        return self.limits[LINEAR_UNITS.index(unit)]

    def block(self, name: str) -> np.ndarray:
        """A block of parameters, uint64 words: ``limit_UNIT``, ``epsilon_NORM``, ``activation``, or one of the channel
        words' names."""
        kind, _, unit = name.partition("_")
        if kind == "limit":
            return np.array([self.limit(unit)], dtype=np.uint64)
        if name == "activation":
            return _table_spec().pack(self.activation)
        if (norm := unit or name) in NORMS:
            parameters: NormParameters = getattr(self, norm)
            return parameters.words()[:1] if unit else parameters.words()[1:]
        channels: ChannelParameters = getattr(self, name)
        return channels.words()

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as arrays by name, for a file."""
        arrays = {f"{unit}_weight": self.weights(unit) for unit in LINEAR_UNITS}
        arrays |= {name: getattr(self, name).words() for name in (*CHANNEL_BLOCKS, *NORMS)}
        arrays["activation"] = self.activation.astype(np.int32)
        return arrays | {"limits": np.array(self.limits, dtype=np.int32)}

    @classmethod
    def from_tensors(cls, arrays: Mapping[str, np.ndarray]) -> "QuantisedLayer":
        """The inverse of `tensors`."""
        values: dict[str, Any] = {name: ChannelParameters.from_words(arrays[name]) for name in CHANNEL_BLOCKS}
        values |= {name: NormParameters.from_words(arrays[name]) for name in NORMS}
        values |= {f"{unit}_weight": arrays[f"{unit}_weight"] for unit in LINEAR_UNITS}
        values |= {"activation": arrays["activation"].astype(np.int64), "limits": tuple(arrays["limits"].tolist())}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class QuantisedBert:
    """A quantised encoder.

    ``scales`` [layers + 1, hidden]: the real value of a unit of each layer's int16 input features, and of the last
    layer's output. ``source``: where the weights come from, in a few words. ``pooling``: how the host makes a text's
    embedding of the last layer's output.
    """

    spec: BertSpec
    embedding: Embedding
    layers: tuple[QuantisedLayer, ...]
    scales: np.ndarray
    source: str
    pooling: Pooling = MEAN

    def embed(self, token_ids: Sequence[int]) -> np.ndarray:
        """The first layer's input, int16 [tokens, hidden]: the host's share before the accelerator.

        Raises:
            InputError: for no tokens, too many, or ids outside the vocabulary.
        """
        real = floating.embed(token_ids, self.embedding, self.spec)
        return saturate(np.rint(real / self.scales[0]), 16).astype(np.int16)

    def real(self, features: np.ndarray, layer: int | None = None) -> np.ndarray:
        """The real values of int16 features [tokens, hidden]: the input of ``layer``, or the last layer's output."""
        return features * self.scales[self.spec.layers if layer is None else layer]

    def pool(self, outputs: np.ndarray) -> np.ndarray:
        """A text's embedding [hidden], of the last layer's output [tokens, hidden]: the host's last share."""
        return self.pooling.of(self.real(outputs))

    def save(self, path: Path) -> None:
        """Writes everything to a file, which appears when it is complete."""
        tensors = {"scales": self.scales, **_embedding_tensors(self.embedding)}
        save_quantised(path, self.spec, self.layers, tensors, self.source, pooling=json.dumps(asdict(self.pooling)))

    @classmethod
    def load(cls, path: Path) -> "QuantisedBert":
        """What `save` wrote.

        Raises:
            InputError: for a file that is none of ours, of another family or version, or damaged.
        """
        spec, layers, tensors, metadata = load_quantised(path, BertSpec)
        # Files of before the pooling was written down were all made for the mean.
        pooling = Pooling(**json.loads(metadata["pooling"])) if "pooling" in metadata else MEAN
        return cls(
            spec=spec,
            embedding=_embedding(tensors),
            layers=layers,
            scales=tensors["scales"],
            source=metadata["source"],
            pooling=pooling,
        )


def save_quantised(
    path: Path,
    spec: ModelSpec,
    layers: Sequence[QuantisedLayer],
    others: Mapping[str, np.ndarray],
    source: str,
    **metadata: str,
) -> None:
    """Writes a quantised model of any family to a file, which appears when it is complete.

    ``others``: what it has beside its layers, by name. ``metadata``: strings of the family, by name.
    """
    tensors = dict(others)
    for index, layer in enumerate(layers):
        tensors |= {f"layer.{index}.{name}": array for name, array in layer.tensors().items()}
    metadata |= {
        "format": FORMAT,
        "version": VERSION,
        "family": spec.family,
        "spec": json.dumps(asdict(spec)),
        "source": source,
        "checksum": _checksum(tensors),
    }
    write_safetensors(path, tensors, metadata)


def load_quantised(
    path: Path, kind: type[Spec]
) -> tuple[Spec, tuple[QuantisedLayer, ...], dict[str, np.ndarray], Mapping[str, str]]:
    """What `save_quantised` wrote: spec, layers, the other tensors, and the metadata with the source.

    Raises:
        InputError: for a file that is none of ours, of another family or version, or damaged.
    """
    file = SafeTensors(path)
    if file.metadata.get("format") != FORMAT:
        raise InputError(f"{path} must be a quantised model, as written by this program")
    if file.metadata.get("version") != VERSION:
        found = file.metadata.get("version")
        raise InputError(f"{path} must be of version {VERSION}, not {found}; quantise the model again")
    # Files of before decoders do not say that they are BERT's.
    if (family := file.metadata.get("family", BertSpec.family)) != kind.family:
        raise InputError(f"{path} must be a quantised model of the family {kind.family}, not {family}")
    tensors = {name: file.raw(name) for name in file.entries}
    if _checksum(tensors) != file.metadata.get("checksum"):
        raise InputError(f"{path} is damaged: its checksum is wrong; quantise the model again")
    spec = kind(**json.loads(file.metadata["spec"]))
    layers: list[dict[str, np.ndarray]] = [{} for _ in range(spec.layers)]
    for name in [name for name in tensors if name.startswith("layer.")]:
        _, index, own = name.split(".")
        layers[int(index)][own] = tensors.pop(name)
    return spec, tuple(map(QuantisedLayer.from_tensors, layers)), tensors, file.metadata


def is_quantised(path: Path) -> bool:
    """Whether a file is what `save_quantised` wrote."""
    try:
        return SafeTensors(path).metadata.get("format") == FORMAT
    except InputError:
        return False


@cache
def _table_spec() -> ActivationSpec:
    return ActivationSpec(rows=1, lanes=1, features=1, max_tiles=1)


def _checksum(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def _embedding_tensors(embedding: Embedding) -> dict[str, np.ndarray]:
    tables = {f"embedding.{name}": getattr(embedding, name) for name in TABLES}
    return tables | {"embedding.gamma": embedding.norm.gamma, "embedding.beta": embedding.norm.beta}


def _embedding(tensors: Mapping[str, np.ndarray]) -> Embedding:
    tables = {name: tensors[f"embedding.{name}"] for name in TABLES}
    return Embedding(**tables, norm=Norm(tensors["embedding.gamma"], tensors["embedding.beta"]))
