"""Models in GGUF files, as llama.cpp has them: their configuration in the words of Hugging Face, and their tensors."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from .rotary import Angles
from .safetensors import finite

__all__ = ["GGUF", "GGUFTensors", "open_gguf"]

GGUF = ".gguf"
"""How the names of these files end."""

REMEDY = "install it with: pip install --no-deps gguf"

KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "vocab_size": "vocab_size",
    "rope.freq_base": "rope_theta",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "expert_count": "num_local_experts",
}
"""Keys of a file's metadata, after the name of its architecture, and those of Hugging Face for the same."""

FACTORS = "rope_freqs.weight"
"""The tensor that divides the frequencies of rotary positions, which files of LLaMA 3 have for its scaling."""

LOW, HIGH, POSITIONS = 1.0, 4.0, 8192
LLAMA3 = {"low_freq_factor": LOW, "high_freq_factor": HIGH, "original_max_position_embeddings": POSITIONS}
"""The scaling of all published LLaMA 3, beside its factor."""


class GGUFTensors:
    """A GGUF file. A tensor is read, and made to real numbers, when it is asked for.

    Members: ``path``; ``shapes``, of the tensors by name; ``metadata``, values by key.

    Raises:
        InputError: for a file that cannot be read, or is not a whole file of the format; and where the package that
            reads it is not installed.
    """

    def __init__(self, path: Path):
        try:
            import gguf
        except ImportError:
            raise InputError(f"{path} needs the package gguf to be read, which is not installed; {REMEDY}") from None
        self.path, self._package = path, gguf
        try:
            reader = gguf.GGUFReader(path)
            self.metadata: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError):
            raise InputError(f"{path} must be a whole GGUF file; get it again") from None
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.shapes = {name: tuple(int(size) for size in one.shape[::-1]) for name, one in self._tensors.items()}
        self.shapes.pop(FACTORS, None)

    @property
    def architecture(self) -> Any:
        """The name of the family."""
        return self.metadata.get("general.architecture")

    def floats(self, name: str) -> np.ndarray:
        """A tensor in float32.

        Raises:
            InputError: for a type that the package cannot make numbers of, and for values that are not finite.
        """
        tensor = self._tensors[name]
        try:
            values = self._package.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            kind = tensor.tensor_type.name
            raise InputError(f"{self.path}: tensor {name!r} must be of another type than {kind}") from None
        return finite(np.asarray(values, dtype=np.float32).reshape(tensor.shape[::-1]), f"{self.path}: tensor {name!r}")

    def plain_names(self, wanted: Iterable[str], modules: Iterable[str]) -> dict[str, str]:
        """The ``wanted`` tensors of a plain model that the format has a name for, by this name. ``modules``: see
        `Layout`."""
        numbers = {name: number for number, name in self._package.MODEL_ARCH_NAMES.items()}
        names = self._package.get_tensor_name_map(numbers[self.architecture], self.metadata[self._key("block_count")])
        found = {}
        for own in wanted:
            for prefix in ("", *modules):
                if name := names.get_name(prefix + own, try_suffixes=(".weight", ".bias")):
                    found[name] = own
        return found

    @property
    def configuration(self) -> dict[str, Any]:
        """What Hugging Face's `config.json` of the model would hold."""
        own = {key: self.metadata[self._key(name)] for name, key in KEYS.items() if self._key(name) in self.metadata}
        for key, value in own.items():
            if isinstance(value, float):  # of 32 bits, whose shortest decimals are the model's
                own[key] = float(str(np.float32(value)))
        own.setdefault("vocab_size", len(self.metadata.get("tokenizer.ggml.tokens", [])))
        own |= {"model_type": self.architecture, "hidden_act": "silu"}
        own["tie_word_embeddings"] = "output.weight" not in self.shapes
        for tensor, key in (("attn_output", "attention_bias"), ("ffn_down", "mlp_bias")):
            own[key] = f"blk.0.{tensor}.bias" in self.shapes
        kind = self.metadata.get(self._key("rope.scaling.type"), "none")
        if FACTORS in self._tensors:
            own["rope_scaling"] = self._llama3(float(own.get("rope_theta", 10000.0)))
        elif kind != "none":
            own["rope_scaling"] = {"type": kind, "factor": self.metadata.get(self._key("rope.scaling.factor"))}
        return own

    def _key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    def _llama3(self, base: float) -> dict[str, Any]:
        """The scaling whose frequencies are divided by the file's factors."""
        factors = self.floats(FACTORS)
        found = Angles(base, float(factors.max()), LOW, HIGH, POSITIONS).frequencies(2 * len(factors))
        plain = Angles(base).frequencies(2 * len(factors))
        if not np.allclose(found * factors, plain, rtol=1e-3, atol=0):
            raise InputError(f"{self.path}: tensor {FACTORS!r} must be the factors of LLaMA 3, but has others")
        return {"type": "llama3", "factor": float(factors.max())} | LLAMA3


def open_gguf(path: Path) -> GGUFTensors:
    """A GGUF file of a family that has tensors in it.

    Raises:
        InputError: see `GGUFTensors`; and for a file without an architecture.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    file = _opened(path, about.st_mtime_ns, about.st_size)
    if not isinstance(file.architecture, str):
        raise InputError(f"{path} must have general.architecture, a name, not {shown(file.architecture)}")
    return file


@lru_cache(maxsize=1)
def _opened(path: Path, time: int, size: int) -> GGUFTensors:
    """A file of this state: to read the header of one with a large vocabulary takes seconds."""
    return GGUFTensors(path)
