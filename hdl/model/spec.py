"""The shapes that hardware is made of: BERT encoders and GPT-2 decoders, from presets or from a Hugging Face
`config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar, overload

from ..builtin import built_in, read_built_in
from ..errors import InputError, shown
from .bounds import check_whole
from .configkeys import KEYS
from .configuration import Configuration
from .files import YAML, check_fields, read_values

__all__ = [
    "BUILT_FAMILIES",
    "BertSpec",
    "Gpt2Spec",
    "ModelSpec",
    "is_of_spec",
    "load_model",
    "presets",
    "spec_from_config",
    "spec_from_mapping",
]

MAX_FEATURES = 4096
"""The most features of a token: LayerNorm's widths end there."""

MAX_EPS = 1.0
"""LayerNorm makes variances about 1: an epsilon that is larger is a mistake in the file."""


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
    same_activations: ClassVar[frozenset[str]]
    """Other names that Hugging Face has for the same function."""
    max_inner: ClassVar[int]
    """Features that the second matrix of the feed-forward part may contract over."""

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
            if field.type is int:
                check_whole(self.name, field.name, getattr(self, field.name))
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
                f"not {shown(self.activation)}"
            )
        if not isinstance(self.layer_norm_eps, float) or not 0 <= self.layer_norm_eps <= MAX_EPS:
            raise InputError(
                f"layer_norm_eps of model {self.name!r} must be a number from 0 to {MAX_EPS}, "
                f"not {shown(self.layer_norm_eps)}"
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
        return cls._of(name, values)

    @classmethod
    def from_config(cls, name: str, config: Configuration) -> Self:
        """A spec of a Hugging Face `config.json` of this family; tells what of it is ignored and assumed.

        Raises:
            InputError: for variants that the hardware does not compute.
        """
        spec = cls._of(name, cls._derived(config.fields()))
        config.settle(spec)
        return spec

    @classmethod
    def _derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The ``values`` with those that follow from others."""
        return values

    @classmethod
    def _of(cls, name: str, values: Mapping[str, Any]) -> Self:
        """A spec of a file's values, which may say the same in several ways."""
        own = dict(values)
        if type(own["layer_norm_eps"]) is int and own["layer_norm_eps"] == 0:
            own["layer_norm_eps"] = 0.0
        if own["activation"] in tuple(cls.same_activations):
            own["activation"] = cls.supported_activation
        return cls(name=name, **own)


@dataclass(frozen=True, kw_only=True)
class BertSpec(ModelSpec):
    """The shape of a BERT encoder: post-LayerNorm layers with GELU, learned absolute positions, ``token_types`` kinds
    of tokens; and what `ModelSpec` has."""

    family = "bert"
    supported_activation = "gelu"
    same_activations = frozenset({"gelu_python"})
    max_inner = 4096  # 4096 * 128 * 127 fits sums of 27 bits, whatever the weights

    token_types: int


@dataclass(frozen=True, kw_only=True)
class Gpt2Spec(ModelSpec):
    """The shape of a GPT-2 decoder: pre-LayerNorm layers with the GELU's tanh form, learned absolute positions, causal
    attention, a head that shares the embedding's matrix; see `ModelSpec`."""

    family = "gpt2"
    supported_activation = "gelu_new"
    # "gelu_fast" writes sqrt(2 / pi) as 0.7978845608, which is the same float32.
    same_activations = frozenset({"gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"})
    max_inner = 16384  # where the sums could overflow, the quantiser makes the weights smaller

    @classmethod
    def _derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        hidden = values["hidden"]
        return {"intermediate": 4 * hidden if type(hidden) is int else hidden} | values


BUILT_FAMILIES: tuple[type[BertSpec] | type[Gpt2Spec], ...] = (BertSpec, Gpt2Spec)

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
    if isinstance(values, Mapping):
        family = values.get("family", family)
        if family in tuple(KEYS) and "kv_heads" in values:
            raise InputError(
                f"{source} has the fields of a network for estimates; to be built it needs those of a preset, "
                "such as layer_norm_eps and activation"
            )
        own = {key: value for key, value in values.items() if key != "family"}
    return _class_of(family, name, kind).from_mapping(name, own, source)  # type: ignore[return-value]


def spec_from_config(name: str, config: Configuration, kind: type[Spec]) -> Spec:
    """The spec of a Hugging Face configuration, if it is of the ``kind`` that is wanted.

    Raises:
        InputError: where it is not, and see `ModelSpec.from_config`.
    """
    return _class_of(config.family, name, kind).from_config(name, config)  # type: ignore[return-value]


def presets(kind: type[ModelSpec] = BertSpec) -> tuple[str, ...]:
    """The names of the built-in models of a kind; of `ModelSpec`: of all families."""
    families = {own.family for own in BUILT_FAMILIES if issubclass(own, kind)}
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
    if name_or_path in built_in(__package__, "networks"):
        family = read_built_in(__package__, "networks", name_or_path, "network")["family"]
        raise _estimated_alone(name_or_path, family, kind)
    name, path, values = read_values(name_or_path, presets(kind))
    if path.suffix in YAML:
        return spec_from_mapping(name, values, str(path), kind)
    return spec_from_config(name, Configuration.of(values, str(path)), kind)


def _preset(name: str) -> Any:
    return read_built_in(__package__, "presets", name, "preset")


def _class_of(family: Any, name: str, kind: type[ModelSpec]) -> type[ModelSpec]:
    """The class of a family, if it is of the kind."""
    for own in BUILT_FAMILIES:
        if family == own.family and issubclass(own, kind):
            return own
    if family in tuple(KEYS) and kind is ModelSpec:
        raise _estimated_alone(name, family, kind)
    raise InputError(f"family of model {name!r} must be {_families(kind)}, not {shown(family)}")


def _estimated_alone(name: str, family: str, kind: type[ModelSpec]) -> InputError:
    """The error that a network cannot be built."""
    return InputError(
        f"model {name!r} must be of the family {_families(kind)} to be built, not {family}; estimate knows it"
    )


def _families(kind: type[ModelSpec]) -> str:
    return " or ".join(own.family for own in BUILT_FAMILIES if issubclass(own, kind))
