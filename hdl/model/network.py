"""A network: its numbers, the graphs of its parts, and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from ..errors import InputError, shown
from .architecture import Attention, Gate, Graph, Linear
from .families import FAMILIES, of_families
from .family import EmbeddingTables, Family
from .functions import FUNCTIONS, function_of
from .shape import Shape, checked

__all__ = ["Network"]


@dataclass(frozen=True, kw_only=True)
class Network(Shape):
    """A transformer of a known family; see `Shape`.

    Raises:
        InputError: for a shape that no network of the family has, with the field that is wrong.
    """

    def __post_init__(self) -> None:
        if self.family not in tuple(FAMILIES):
            raise InputError(f"family of model {self.name!r} must be {of_families()}, not {shown(self.family)}")
        super().__post_init__()
        if self.traits.layout and self.activation not in FUNCTIONS:
            raise InputError(
                f"activation of model {self.name!r} must be {' or '.join(FUNCTIONS)}, not {shown(self.activation)}"
            )

    @classmethod
    def of(cls, name: str, family: str, values: Mapping[str, Any]) -> Self:
        """A network of the fields that a file gives; the others follow from them, as its family has it. Without a size
        of their own, heads share the hidden features equally.

        Raises:
            InputError: see `Network`.
        """
        given = checked(name, values)
        hidden, heads = given["hidden"], given["heads"]
        if "head_size" not in given and hidden % heads:
            raise InputError(f"hidden of model {name!r} must be a multiple of its {heads} heads, not {hidden}")
        own = {"kv_heads": heads, "head_size": hidden // heads} | FAMILIES[family].complete(given) | given
        if function := function_of(own["activation"]):
            own["activation"] = function.name
        return cls(name=name, family=family, **own)

    @property
    def traits(self) -> Family:
        """What its family has."""
        return FAMILIES[self.family]

    @cached_property
    def layer(self) -> Graph:
        """The graph of a layer."""
        return self.traits.layer(self)

    @cached_property
    def head(self) -> Graph | None:
        """The graph from the last layer's output to the logits of the next token; None without one."""
        return self.traits.head(self)

    @cached_property
    def closing(self) -> Graph | None:
        """The graph after the last layer that the host computes; None without one."""
        return self.traits.closing(self)

    @cached_property
    def embedding(self) -> EmbeddingTables:
        """What stands before the first layer."""
        return self.traits.embedding(self)

    @cached_property
    def attention(self) -> Attention:
        """The attention of a layer."""
        return self.layer.of(Attention)[0]

    @property
    def causal(self) -> bool:
        """Whether a token sees only itself and those before it: a decoder, which generates text."""
        return self.attention.causal

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part has a gate, and three matrices instead of two."""
        return bool(self.layer.of(Gate))

    @cached_property
    def operators(self) -> tuple[Linear, ...]:
        """The products of a layer with its weights, in the order that they are computed in."""
        return self.layer.of(Linear)

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the products with weights, in the order of a token's way: a layer's, then the head's."""
        return tuple(operator.name for operator in (*self.operators, *(self.head.of(Linear) if self.head else ())))

    @property
    def kv_features(self) -> int:
        """Features of the keys and values of a token: what it adds to a layer's KV cache."""
        return 2 * self.kv_heads * self.head_size

    @cached_property
    def layer_weights(self) -> int:
        """Matrix weights of a layer, which are also its multiplications a token beside attention."""
        return sum(operator.weights for operator in self.operators)

    @cached_property
    def head_weights(self) -> int:
        """Matrix weights of the head, from features to scores of the next token; 0 for an encoder, which has none."""
        return sum(operator.weights for operator in self.head.of(Linear)) if self.head else 0

    @property
    def weights(self) -> int:
        """Matrix weights of all layers and the head. Embeddings are looked up, not multiplied: they are not counted."""
        return self.layers * self.layer_weights + self.head_weights

    @property
    def table_rows(self) -> int:
        """Rows of the tables of words and positions. BERT's token types are left out, as they are few."""
        return sum(rows for name, rows in self.embedding.tables.items() if name in ("word", "position"))

    @property
    def parameters(self) -> int:
        """Weights and embedding tables, a tied one counted once.

        The tables are the vocabulary's and, where they are learned, the positions'. Biases, norms, BERT's token types
        and pooler, and OPT's two spare positions are left out: below 1 % of any published model.
        """
        untied = 0 if self.tied else self.head_weights
        return self.layers * self.layer_weights + untied + self.hidden * self.table_rows

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
