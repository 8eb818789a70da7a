"""Weights out of a Hugging Face checkpoint of GPT-2: its tensors' names, and which of them it must and may have."""

import re
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..checkpoint import Checkpoint
from ..reader import TensorReader, without
from ..shards import open_tensors
from ..spec import Gpt2Spec
from ..weights import Dense, LayerWeights
from .weights import Gpt2Weights

__all__ = ["load_checkpoint"]

PREFIXES = ("model.", "transformer.")

BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)$")
"""Tensors that a checkpoint may have though they are no weights: the causal masks."""

EMBEDDING, HEAD = "wte.weight", "lm_head.weight"
"""The embedding's matrix and the head's, which are the same: a file has either or both."""


def load_checkpoint(path: Path, spec: Gpt2Spec) -> Checkpoint[Gpt2Weights]:
    """The weights in a safetensors file, or in the shards of an index, for a decoder of the shape ``spec``.

    Names may begin with ``transformer.`` or ``model.``. The tied matrix may be stored as the embedding's, the head's or
    both; matrices of the layers are stored [inputs, outputs].

    Raises:
        InputError: for a file that cannot be read or lacks a tensor, and for tensors that are of another shape, not
            finite, or of no known use, with the tensor's name.
    """
    reader = TensorReader(open_tensors(path), lambda name: without(name, PREFIXES))
    word = reader.take(HEAD if HEAD in reader.left else EMBEDDING, spec.vocabulary, spec.hidden)
    if EMBEDDING in reader.left and not np.array_equal(reader.take(EMBEDDING, spec.vocabulary, spec.hidden), word):
        raise InputError(f"{path}: tensor {HEAD!r} must be the same as {EMBEDDING!r}, as GPT-2's head is tied")
    weights = Gpt2Weights(
        spec=spec,
        word=word,
        position=reader.take("wpe.weight", spec.max_positions, spec.hidden),
        layers=tuple(_layer(reader, f"h.{index}.", spec) for index in range(spec.layers)),
        norm=reader.norm("ln_f", spec.hidden),
        source=f"weights of {path}",
    )
    return Checkpoint(weights, reader.rest(BUFFERS, spec.name))


def _layer(reader: TensorReader, prefix: str, spec: Gpt2Spec) -> LayerWeights:
    hidden, inner = spec.hidden, spec.intermediate

    def dense(name: str, outputs: int, inputs: int) -> Dense:
        weight, bias = f"{prefix}{name}.weight", f"{prefix}{name}.bias"
        return Dense(np.ascontiguousarray(reader.take(weight, inputs, outputs).T), reader.take(bias, outputs))

    joint = dense("attn.c_attn", 3 * hidden, hidden)
    parts = zip(np.split(joint.weight, 3), np.split(joint.bias, 3), strict=True)
    query, key, value = (Dense(weight, bias) for weight, bias in parts)
    return LayerWeights(
        query=query,
        key=key,
        value=value,
        projection=dense("attn.c_proj", hidden, hidden),
        norm1=reader.norm(f"{prefix}ln_1", hidden),
        ffn1=dense("mlp.c_fc", inner, hidden),
        ffn2=dense("mlp.c_proj", hidden, inner),
        norm2=reader.norm(f"{prefix}ln_2", hidden),
    )
