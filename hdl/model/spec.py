"""The shapes that hardware is made of: BERT encoders and GPT-2 decoders, from presets or from a Hugging Face
`config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar, overload

from ..builtin import built_in, read_built_in
from ..errors import InputError
from .files import check_fields, model_type, read_values

__all__ = ["BertSpec", "Gpt2Spec", "ModelSpec", "is_of_spec", "load_model", "presets", "spec_from_mapping"]

MAX_FEATURES = 4096
"""The most features of a token: LayerNorm's widths end there."""

MAX_EPS = 1e-4
"""The integer LayerNorm leaves epsilon out: up to this it is negligible beside variances."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What the shapes of all families have in common.

    ``heads`` of ``hidden`` / ``heads`` features; ``intermediate`` features in the feed-forward part; token ids below
    ``vocabulary``, at most ``max_positions`` of them a text.

    Raises:
        InputError: for a shape that no hardware can be made of, with the field that is wrong.
    """

    family: ClassVar[str]
    supported_activation: ClassVar[str]
    max_inner: ClassVar[int]
    """Features that the second matrix of the feed-forward part may contract over."""
    config_keys: ClassVar[Mapping[str, str]]
    """What a Hugging Face configuration calls the fields."""

    name: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    max_positions: int
    vocabulary: int
    layer_norm_eps: float
    activation: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 1):
                raise InputError(
                    f"{field.name} of model {self.name!r} must be a whole number of at least 1, not {value!r}"
                )
        for name, most in (("hidden", MAX_FEATURES), ("intermediate", self.max_inner)):
            if getattr(self, name) > most:
                raise InputError(f"{name} of model {self.name!r} must be at most {most}, not {getattr(self, name)}")
        if self.hidden % self.heads:
            raise InputError(
                f"hidden of model {self.name!r} must be a multiple of its {self.heads} heads, not {self.hidden}"
            )
        if self.activation != self.supported_activation:
            raise InputError(
                f"activation of model {self.name!r} must be {self.supported_activation}, the only one supported, "
                f"not {self.activation!r}"
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
    def _from_keys(cls, name: str, config: Mapping[str, Any], source: str) -> Self:
        if missing := [key for key in cls.config_keys if key not in config]:
            raise InputError(f"{source} lacks the field {missing[0]!r}")
        return cls(name=name, **{own: config[key] for key, own in cls.config_keys.items()})


@dataclass(frozen=True, kw_only=True)
class BertSpec(ModelSpec):
    """The shape of a BERT encoder: post-LayerNorm layers with GELU, learned absolute positions, ``token_types`` kinds
    of tokens; and what `ModelSpec` has."""

    family = "bert"
    supported_activation = "gelu"
    max_inner = 4096  # 4096 * 128 * 127 fits sums of 27 bits, whatever the weights
    config_keys: ClassVar = {
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

    token_types: int

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
        return cls._from_keys(name, config, source)


@dataclass(frozen=True, kw_only=True)
class Gpt2Spec(ModelSpec):
    """The shape of a GPT-2 decoder: pre-LayerNorm layers with the GELU's tanh form, learned absolute positions, causal
    attention, a head that shares the embedding's matrix; see `ModelSpec`."""

    family = "gpt2"
    supported_activation = "gelu_new"
    max_inner = 16384  # where the sums could overflow, the quantiser makes the weights smaller
    config_keys: ClassVar = {
        "n_layer": "layers",
        "n_embd": "hidden",
        "n_head": "heads",
        "n_inner": "intermediate",
        "n_positions": "max_positions",
        "vocab_size": "vocabulary",
        "layer_norm_epsilon": "layer_norm_eps",
        "activation_function": "activation",
    }
    switches: ClassVar = {
        "add_cross_attention": False,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "tie_word_embeddings": True,
    }
    """The only values, also the defaults, of switches that change what is computed."""

    @classmethod
    def from_config(cls, name: str, config: Any, source: str) -> Self:
        """A spec from the contents of a Hugging Face `config.json`; what GPT-2's may leave out has its defaults.

        Raises:
            InputError: for another architecture than GPT-2, and for variants of GPT-2 that the hardware does not
                compute.
        """
        if (architecture := model_type(config, source)) != "gpt2":
            raise InputError(f"model_type in {source} must be gpt2, not {architecture!r}")
        for key, only in cls.switches.items():
            if (value := config.get(key, only)) is not only:
                raise InputError(f"{key} in {source} must be {str(only).lower()}, not {str(value).lower()}")
        given = {key: value for key, value in config.items() if value is not None}
        if type(hidden := given.get("n_embd")) is int:
            given.setdefault("n_inner", 4 * hidden)
        defaults = {"layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
        return cls._from_keys(name, defaults | given, source)


FAMILIES: tuple[type[BertSpec] | type[Gpt2Spec], ...] = (BertSpec, Gpt2Spec)

Spec = TypeVar("Spec", bound=ModelSpec)


def is_of_spec(values: Any) -> bool:
    """Whether the contents of a YAML file are a `ModelSpec`'s fields, not those of a network for estimates alone."""
    return isinstance(values, Mapping) and ("token_types" in values or "layer_norm_eps" in values)


def spec_from_mapping(name: str, values: Any, source: str, kind: type[Spec]) -> Spec:
    """The spec of a YAML file's ``values``: a GPT-2's say ``family: gpt2``, those without a family are BERT's.

    Raises:
        InputError: for wrong fields, and where the model is not of the ``kind`` that is wanted.
    """
    family, own = "bert", values
    if isinstance(values, Mapping) and "family" in values:
        family, own = values["family"], {key: value for key, value in values.items() if key != "family"}
    return _class_of(family, name, kind).from_mapping(name, own, source)  # type: ignore[return-value]


def presets(kind: type[ModelSpec] = BertSpec) -> tuple[str, ...]:
    """The names of the built-in models of a kind; of `ModelSpec`: of all families."""
    families = {own.family for own in FAMILIES if issubclass(own, kind)}
    names = built_in(__package__, "presets")
    return tuple(name for name in names if _preset(name).get("family", "bert") in families)


@overload
def load_model(name_or_path: str) -> BertSpec: ...
@overload
def load_model(name_or_path: str, kind: type[Spec]) -> Spec: ...
def load_model(name_or_path: str, kind: type[ModelSpec] = BertSpec) -> ModelSpec:
    """The preset of that name, or the model of a `config.json`, of a folder with one, or of a YAML file like a
    preset's. ``kind``: `BertSpec`, `Gpt2Spec`, or `ModelSpec` for either.

    Raises:
        InputError: for an unknown name, for a file that is not there, not readable, or not of a model that is
            supported, and for a model of another kind.
    """
    if name_or_path in built_in(__package__, "presets"):
        return spec_from_mapping(name_or_path, _preset(name_or_path), f"preset {name_or_path!r}", kind)
    name, path, values = read_values(name_or_path, presets(kind))
    if path.suffix == ".yaml":
        return spec_from_mapping(name, values, str(path), kind)
    for own in FAMILIES:
        if kind in (own, ModelSpec) and (kind is own or model_type(values, str(path)) == own.family):
            return own.from_config(name, values, str(path))
    known = " or ".join(own.family for own in FAMILIES)
    raise InputError(f"model_type in {path} must be {known}, not {values['model_type']!r}")


def _preset(name: str) -> Any:
    return read_built_in(__package__, "presets", name, "preset")


def _class_of(family: Any, name: str, kind: type[ModelSpec]) -> type[ModelSpec]:
    """The class of a family, if it is of the kind."""
    known = {own.family: own for own in FAMILIES if issubclass(own, kind)}
    if family not in known:
        raise InputError(f"family of model {name!r} must be {' or '.join(known)}, not {family!r}")
    return known[family]
