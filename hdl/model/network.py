"""The shape of any network that estimates are made for: encoders and decoders, of which `BertSpec` is what is built."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, NamedTuple, Self

from ..builtin import built_in, read_built_in
from ..errors import InputError
from .spec import BertSpec, check_fields, load_model, model_type, presets, read_values

__all__ = ["Network", "Operator", "load_network", "networks"]

FAMILIES = ("bert", "gpt2", "opt", "llama")
"""What a Hugging Face configuration calls the architectures that are known."""

SHARED_KEYS = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "max_position_embeddings": "max_positions",
    "vocab_size": "vocabulary",
}
CONFIG_KEYS = {
    "gpt2": {
        "n_layer": "layers",
        "n_embd": "hidden",
        "n_head": "heads",
        "n_positions": "max_positions",
        "vocab_size": "vocabulary",
    },
    "opt": SHARED_KEYS | {"ffn_dim": "intermediate"},
    "llama": SHARED_KEYS | {"intermediate_size": "intermediate"},
}
"""What the configuration of a decoder calls the fields of a `Network`; the other fields have defaults there."""

CONFIG_SWITCHES = {"gpt2": {"add_cross_attention": False}, "opt": {"do_layer_norm_before": True}, "llama": {}}
"""The only values, also the defaults, of switches that change a decoder's structure."""


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

    ``family`` is one of `FAMILIES`. A layer has ``heads`` query heads, which share ``kv_heads`` key and value heads,
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
        if self.family not in FAMILIES:
            raise InputError(f"family of model {self.name!r} must be {_families()}, not {self.family!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                _check_whole(self.name, field.name, value)
            if field.type is bool and type(value) is not bool:
                raise InputError(f"{field.name} of model {self.name!r} must be true or false, not {value!r}")
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
    def from_bert(cls, spec: BertSpec) -> Self:
        """The network of a BERT encoder."""
        return cls(
            name=spec.name,
            family="bert",
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
        """A network of exactly the fields in ``values``, as a YAML file has them, or of those of a `BertSpec`;
        ``source`` is named in errors.

        Raises:
            InputError: for what is no mapping, and for keys that are unknown or missing.
        """
        if isinstance(values, Mapping) and "token_types" in values:
            return cls.from_bert(BertSpec.from_mapping(name, values, source))
        check_fields(values, {field.name for field in fields(cls)} - {"name"}, source)
        return cls(name=name, **values)

    @classmethod
    def from_config(cls, name: str, config: Any, source: str) -> Self:
        """A network from the contents of a Hugging Face `config.json`.

        Raises:
            InputError: for an architecture that is not known, and for variants of another structure.
        """
        family = model_type(config, source)
        if family not in FAMILIES:
            raise InputError(f"model_type in {source} must be {_families()}, not {family!r}")
        if family == "bert":
            return cls.from_bert(BertSpec.from_config(name, config, source))
        if missing := [key for key in CONFIG_KEYS[family] if key not in config]:
            raise InputError(f"{source} lacks the field {missing[0]!r}")
        shape = {own: config[key] for key, own in CONFIG_KEYS[family].items()}
        for own, value in shape.items():
            _check_whole(name, own, value)
        _check_variant(family, config, source)
        if family == "gpt2":
            shape["intermediate"] = _given(config, "n_inner", 4 * shape["hidden"])
        llama = family == "llama"
        head_size = config.get("head_dim") if llama else None
        return cls(
            name=name,
            family=family,
            kv_heads=_given(config, "num_key_value_heads", shape["heads"]) if llama else shape["heads"],
            head_size=_head_size(name, shape["hidden"], shape["heads"]) if head_size is None else head_size,
            gated=llama,
            tied=_given(config, "tie_word_embeddings", not llama),
            **shape,
        )


@cache
def networks() -> tuple[str, ...]:
    """The names of the built-in networks, the presets of BERT among them."""
    return tuple(sorted((*presets(), *built_in(__package__, "networks"))))


def load_network(name_or_path: str) -> Network:
    """The built-in network of that name, or that of a `config.json`, of a folder with one, or of a YAML file like a
    built-in one's.

    Raises:
        InputError: for an unknown name, and for a file that is not there, not readable, or not of a network that is
            known.
    """
    if name_or_path in presets():
        return Network.from_bert(load_model(name_or_path))
    if name_or_path in networks():
        values = read_built_in(__package__, "networks", name_or_path, "network")
        return Network.from_mapping(name_or_path, values, f"network {name_or_path!r}")
    name, path, values = read_values(name_or_path, networks())
    read = Network.from_mapping if path.suffix == ".yaml" else Network.from_config
    return read(name, values, str(path))


def _families() -> str:
    return f"{', '.join(FAMILIES[:-1])} or {FAMILIES[-1]}"


def _given(config: Mapping[str, Any], key: str, default: Any) -> Any:
    """A value that a configuration may leave out or leave null."""
    value = config.get(key)
    return default if value is None else value


def _check_whole(name: str, field: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise InputError(f"{field} of model {name!r} must be a whole number of at least 1, not {value!r}")


def _head_size(name: str, hidden: int, heads: int) -> int:
    """Features of a head where the heads share the hidden features."""
    if hidden % heads:
        raise InputError(f"hidden of model {name!r} must be a multiple of its {heads} heads, not {hidden}")
    return hidden // heads


def _check_variant(family: str, config: Mapping[str, Any], source: str) -> None:
    """Refuses decoders with other matrices or another order than their family's."""
    for key, only in CONFIG_SWITCHES[family].items():
        if (value := _given(config, key, only)) is not only:
            raise InputError(f"{key} in {source} must be {json.dumps(only)}, not {json.dumps(value)}")
    hidden = config.get("hidden_size")
    if family == "opt" and (width := _given(config, "word_embed_proj_dim", hidden)) != hidden:
        raise InputError(f"word_embed_proj_dim in {source} must be its hidden_size of {hidden}, not {width!r}")
