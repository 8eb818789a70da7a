"""The shape of a network: BERT encoders, from presets or from a Hugging Face `config.json`."""

import json
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import yaml

from ..builtin import built_in, read_built_in, suggestion
from ..errors import InputError

__all__ = ["BertSpec", "check_fields", "load_model", "model_type", "presets", "read_values"]

MAX_INNER = 4096
"""Features that a matrix product may contract over: 4096 * 128 * 127 still fits sums of 27 bits."""

MAX_EPS = 1e-4
"""The integer LayerNorm leaves epsilon out: up to this it is negligible beside variances."""

CONFIG_KEYS = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate",
    "max_position_embeddings": "max_positions",
    "vocab_size": "vocabulary",
    "type_vocab_size": "token_types",
    "layer_norm_eps": "layer_norm_eps",
    "hidden_act": "activation",
}
"""What a Hugging Face configuration calls the fields of a `BertSpec`."""


@dataclass(frozen=True, kw_only=True)
class BertSpec:
    """The shape of a BERT encoder: post-LayerNorm layers with GELU, learned absolute positions.

    ``heads`` of ``hidden`` / ``heads`` features; ``intermediate`` features in the feed-forward part; token ids below
    ``vocabulary``, at most ``max_positions`` of them a text, of ``token_types`` kinds.

    Raises:
        InputError: for a shape that no hardware can be made of, with the field that is wrong.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    max_positions: int
    vocabulary: int
    token_types: int
    layer_norm_eps: float
    activation: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 1):
                raise InputError(
                    f"{field.name} of model {self.name!r} must be a whole number of at least 1, not {value!r}"
                )
        for name in ("hidden", "intermediate"):
            if getattr(self, name) > MAX_INNER:
                raise InputError(
                    f"{name} of model {self.name!r} must be at most {MAX_INNER}, not {getattr(self, name)}"
                )
        if self.hidden % self.heads:
            raise InputError(
                f"hidden of model {self.name!r} must be a multiple of its {self.heads} heads, not {self.hidden}"
            )
        if self.activation != "gelu":
            raise InputError(
                f"activation of model {self.name!r} must be gelu, the only one supported, not {self.activation!r}"
            )
        if not isinstance(self.layer_norm_eps, float) or not 0 <= self.layer_norm_eps <= MAX_EPS:
            raise InputError(
                f"layer_norm_eps of model {self.name!r} must be 0 to {MAX_EPS}, not {self.layer_norm_eps!r}"
            )

    @property
    def head_size(self) -> int:
        """Features of a head."""
        return self.hidden // self.heads

    @property
    def layer_weights(self) -> int:
        """Matrix weights of a layer, which are also its multiplications a token beside attention."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.intermediate

    @classmethod
    def from_mapping(cls, name: str, values: Any, source: str) -> Self:
        """A spec of exactly the fields in ``values``, as a YAML file has them; ``source`` is named in errors.

        Raises:
            InputError: for what is no mapping, and for keys that are unknown or missing.
        """
        check_fields(values, {field.name for field in fields(cls)} - {"name"}, source)
        return cls(name=name, **values)

    @classmethod
    def from_config(cls, name: str, config: Any, source: str) -> Self:
        """A spec from the contents of a Hugging Face `config.json`.

        Raises:
            InputError: for another architecture than BERT, and for variants of BERT that the hardware does not compute.
        """
        if (architecture := model_type(config, source)) != "bert":
            raise InputError(
                f"model_type in {source} must be bert, the only architecture supported, not {architecture!r}"
            )
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise InputError(
                f"position_embedding_type in {source} must be absolute, not {config['position_embedding_type']!r}"
            )
        if config.get("is_decoder") or config.get("add_cross_attention"):
            raise InputError(
                f"{source} must describe an encoder, not a decoder; is_decoder and add_cross_attention must be false"
            )
        if missing := [key for key in CONFIG_KEYS if key not in config]:
            raise InputError(f"{source} lacks the field {missing[0]!r}")
        return cls(name=name, **{own: config[key] for key, own in CONFIG_KEYS.items()})


def presets() -> tuple[str, ...]:
    """The names of the built-in models."""
    return built_in(__package__, "presets")


def load_model(name_or_path: str) -> BertSpec:
    """The preset of that name, or the model of a `config.json`, of a folder with one, or of a YAML file like a
    preset's.

    Raises:
        InputError: for an unknown name, and for a file that is not there, not readable, or not of a model that is
            supported.
    """
    if name_or_path in presets():
        values = read_built_in(__package__, "presets", name_or_path, "preset")
        return BertSpec.from_mapping(name_or_path, values, f"preset {name_or_path!r}")
    name, path, values = read_values(name_or_path, presets())
    read = BertSpec.from_mapping if path.suffix == ".yaml" else BertSpec.from_config
    return read(name, values, str(path))


def read_values(name_or_path: str, known: Collection[str]) -> tuple[str, Path, Any]:
    """The name of the model in a `config.json`, in a folder with one, or in a YAML file; the file; and its contents.

    Raises:
        InputError: for what is no path, as an unknown name beside the ``known`` ones, and for a file that is not there
            or not readable.
    """
    path = Path(name_or_path)
    if path.is_dir():
        path /= "config.json"
    elif not path.exists() and path.suffix not in (".json", ".yaml"):
        unknown = f"model {name_or_path!r} is unknown{suggestion(name_or_path, known)}"
        raise InputError(f"{unknown}; known: {', '.join(known)}, or a path to a config.json")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"model file {path} cannot be read: {reason}") from None
    try:
        values = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(
            f"model file {path} must be valid {path.suffix[1:].upper()}: {' '.join(str(error).split())}"
        ) from None
    return path.resolve().parent.name if path.name == "config.json" else path.stem, path, values


def model_type(config: Any, source: str) -> Any:
    """The architecture that a Hugging Face `config.json` says it is of; ``source`` is named in errors.

    Raises:
        InputError: for contents that say none.
    """
    if not isinstance(config, Mapping) or "model_type" not in config:
        raise InputError(
            f"{source} must be a Hugging Face configuration with a model_type; take the file beside the weights"
        )
    return config["model_type"]


def check_fields(values: Any, known: Set[str], source: str) -> None:
    """Refuses ``values`` that are not a mapping of exactly the ``known`` fields; ``source`` is named in errors.

    Raises:
        InputError: for what is no mapping, and for keys that are unknown or missing.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{source} must be a mapping of fields to values, not {type(values).__name__}")
    for key in values:
        if key not in known:
            raise InputError(f"{source} has an unknown field {key!r}{suggestion(str(key), known)}")
    if missing := sorted(known - set(values)):
        raise InputError(f"{source} lacks the field {missing[0]!r}")
