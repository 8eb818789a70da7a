"""The shape of any network that estimates are made for: encoders and decoders; some are built (`ModelSpec`)."""

from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, NamedTuple, Self

from ..builtin import built_in, read_built_in
from ..errors import InputError, shown
from .bounds import check_whole
from .configkeys import KEYS, of_families
from .configuration import Configuration
from .files import YAML, check_fields, read_values
from .spec import BUILT_FAMILIES, ModelSpec, is_of_spec, load_model, presets, spec_from_config, spec_from_mapping

__all__ = ["Network", "Operator", "load_network", "networks"]


class Operator(NamedTuple):
    """A product of a layer's features with a matrix of weights."""

    name: str
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Weights of the matrix, which are also its multiplications a token."""
        return self.inputs * self.outputs


@dataclass(frozen=True, kw_only=True)
class Network:
    """The shape of a transformer, as estimates need it: its matrices, its attention and its KV cache.

    ``family`` is one of `KEYS`. A layer has ``heads`` query heads, which share ``kv_heads`` key and value heads,
    all of ``head_size`` features, and a feed-forward part of ``intermediate`` features, of two matrices or, if
    ``gated``, of three: (silu(gate) * up) down. ``tied`` says whether the head's matrix is the embedding's.

    Raises:
        InputError: for a shape that no network has, with the field that is wrong.
    """

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    gated: bool
    max_positions: int
    vocabulary: int
    tied: bool

    def __post_init__(self) -> None:
        if self.family not in tuple(KEYS):
            raise InputError(f"family of model {self.name!r} must be {of_families()}, not {shown(self.family)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                check_whole(self.name, field.name, value)
            if field.type is bool and type(value) is not bool:
                raise InputError(f"{field.name} of model {self.name!r} must be true or false, not {shown(value)}")
        if self.heads % self.kv_heads:
            raise InputError(
                f"kv_heads of model {self.name!r} must be a divisor of its {self.heads} heads, not {self.kv_heads}"
            )
        if self.family != "llama" and self.head_size != _head_size(self.name, self.hidden, self.heads):
            raise InputError(
                f"head_size of model {self.name!r} must be {self.hidden // self.heads}, its hidden size over its"
                f" {self.heads} heads, not {self.head_size}"
            )

    @property
    def causal(self) -> bool:
        """Whether a token sees only itself and those before it: a decoder, which generates text."""
        return self.family != "bert"

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The products of a layer with its weights, in the order that they are computed in."""
        attended = self.heads * self.head_size
        return (
            Operator("qkv", self.hidden, attended + self.kv_features),
            Operator("projection", attended, self.hidden),
            Operator("ffn1", self.hidden, self.intermediate * (2 if self.gated else 1)),
            Operator("ffn2", self.intermediate, self.hidden),
        )

    @property
    def kv_features(self) -> int:
        """Features of the keys and values of a token: what it adds to a layer's KV cache."""
        return 2 * self.kv_heads * self.head_size

    @property
    def layer_weights(self) -> int:
        """Matrix weights of a layer, which are also its multiplications a token beside attention."""
        return sum(operator.weights for operator in self.operators)

    @property
    def head_weights(self) -> int:
        """Matrix weights of the head, from features to scores of the next token; 0 for an encoder, which has none."""
        return self.hidden * self.vocabulary if self.causal else 0

    @property
    def weights(self) -> int:
        """Matrix weights of all layers and the head. Embeddings are looked up, not multiplied: they are not counted."""
        return self.layers * self.layer_weights + self.head_weights

    @property
    def parameters(self) -> int:
        """Weights and embedding tables, a tied one counted once.

        The tables are the vocabulary's and, but for llama with its rotary positions, the positions'. Biases, norms,
        BERT's token types and pooler, and OPT's two spare positions are left out: below 1 % of any published model.
        """
        positions = 0 if self.family == "llama" else self.max_positions
        untied = 0 if self.tied else self.head_weights
        return self.layers * self.layer_weights + untied + self.hidden * (self.vocabulary + positions)

    def layer_macs(self, tokens: int, context: int = 0) -> int:
        """Multiplications of a layer for ``tokens`` new tokens behind ``context`` cached ones.

        As in section 4 of https://arxiv.org/abs/2312.15159, for l tokens of d features: l d^2 for each of Q, K, V and
        the projection, l d d_FFN for each matrix of the feed-forward part, and d for the score of each query and key
        and as much for its value, with d the features of all query heads. The paper counts every key for every query,
        l^2 d, and so does this for an encoder. For a causal network it counts only the keys that a query sees, those
        cached, those before it and its own: about half of the paper's for a prefill, the same for a decode step.

        Raises:
            InputError: for no tokens, and for cached ones before an encoder.
        """
        if tokens < 1:
            raise InputError(f"tokens for model {self.name!r} must be at least 1, not {tokens}")
        if context < 0 or (context and not self.causal):
            limit = "at least 0" if self.causal else "0, as an encoder has no KV cache"
            raise InputError(f"context for model {self.name!r} must be {limit}, not {context}")
        seen = tokens * context + tokens * (tokens + 1) // 2 if self.causal else tokens**2
        return tokens * self.layer_weights + 2 * self.heads * self.head_size * seen

    @classmethod
    def from_spec(cls, spec: ModelSpec) -> Self:
        """The network of a model that is built."""
        return cls(
            name=spec.name,
            family=spec.family,
            layers=spec.layers,
            hidden=spec.hidden,
            heads=spec.heads,
            kv_heads=spec.heads,
            head_size=spec.head_size,
            intermediate=spec.intermediate,
            gated=False,
            max_positions=spec.max_positions,
            vocabulary=spec.vocabulary,
            tied=True,
        )

    @classmethod
    def from_mapping(cls, name: str, values: Any, source: str) -> Self:
        """A network of exactly the fields in ``values``, as a YAML file has them, or of those of a model that
        is built; ``source`` is named in errors.

        Raises:
            InputError: for what is no mapping, and for keys that are unknown or missing.
        """
        if is_of_spec(values):
            return cls.from_spec(spec_from_mapping(name, values, source, ModelSpec))
        check_fields(values, {field.name for field in fields(cls)} - {"name"}, source)
        return cls(name=name, **values)

    @classmethod
    def from_config(cls, name: str, config: Configuration) -> Self:
        """A network of a Hugging Face `config.json`; tells what of it is ignored and assumed.

        Raises:
            InputError: for variants of another structure, and those of a family that is built which cannot be.
        """
        if config.family in [own.family for own in BUILT_FAMILIES]:
            return cls.from_spec(spec_from_config(name, config, ModelSpec))
        shape = config.fields()
        for field in ("hidden", "heads"):
            check_whole(name, field, shape[field])
        if "head_size" not in shape:
            shape["head_size"] = _head_size(name, shape["hidden"], shape["heads"])
        llama = config.family == "llama"
        defaults = {"kv_heads": shape["heads"], "gated": llama, "tied": not llama}
        network = cls(name=name, family=config.family, **defaults | shape)
        config.settle(network)
        return network


@cache
def networks() -> tuple[str, ...]:
    """The names of the built-in networks, the models that are built among them."""
    return tuple(sorted((*presets(ModelSpec), *built_in(__package__, "networks"))))


def load_network(name_or_path: str) -> Network:
    """The built-in network of that name, or that of a `config.json`, of a folder with one, or of a YAML file like a
    built-in one's.

    Raises:
        InputError: for an unknown name, and for a file that is not there, not readable, or not of a network that is
            known.
    """
    if name_or_path in presets(ModelSpec):
        return Network.from_spec(load_model(name_or_path, ModelSpec))
    if name_or_path in networks():
        values = read_built_in(__package__, "networks", name_or_path, "network")
        return Network.from_mapping(name_or_path, values, f"network {name_or_path!r}")
    name, path, values = read_values(name_or_path, networks())
    if path.suffix in YAML:
        return Network.from_mapping(name, values, str(path))
    return Network.from_config(name, Configuration.of(values, str(path)))


def _head_size(name: str, hidden: int, heads: int) -> int:
    """Features of a head where the heads share the hidden features."""
    if hidden % heads:
        raise InputError(f"hidden of model {name!r} must be a multiple of its {heads} heads, not {hidden}")
    return hidden // heads
