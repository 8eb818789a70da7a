"""The parts that layers of several families have in common."""

from ..architecture import Add, Attention, Graph, Linear, Norm, Operator, Part, Table
from ..family import EmbeddingTables
from ..shape import Shape

__all__ = ["attention", "feed_forward", "learned_positions", "logits", "post_norm", "pre_norm"]


def attention(shape: Shape, source: str, *, causal: bool) -> tuple[Operator, ...]:
    """Keys, values and queries of ``source``, attention, and its projection: the last gives ``projection``.

    Keys come first: the scores of a layer wait for its last key.
    """
    attended, shared = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    parts = (Part("keys", shared), Part("values", shared), Part("queries", attended))
    sizes = {"heads": shape.heads, "kv_heads": shape.kv_heads, "head_size": shape.head_size}
    return (
        Linear("qkv", source, shape.hidden, parts),
        Attention("context", queries="queries", keys="keys", values="values", causal=causal, **sizes),
        Linear("projection", "context", attended, (Part("projection", shape.hidden),)),
    )


def feed_forward(shape: Shape, source: str) -> tuple[Operator, ...]:
    """Two linear operators with a function between them: the last gives ``ffn2``."""
    inner = shape.intermediate
    return (
        Linear("ffn1", source, shape.hidden, (Part("ffn1", inner),)),
        Table("activation", "ffn1", inner, shape.activation),
        Linear("ffn2", "activation", inner, (Part("ffn2", shape.hidden),)),
    )


def post_norm(shape: Shape, *, causal: bool) -> Graph:
    """A layer whose norms follow the residual additions, as in the first transformer and in BERT."""
    hidden = shape.hidden
    return Graph(
        "tokens",
        hidden,
        (
            *attention(shape, "tokens", causal=causal),
            Add("residual1", "tokens", "projection", hidden),
            Norm("norm1", "residual1", hidden),
            *feed_forward(shape, "norm1"),
            Add("residual2", "norm1", "ffn2", hidden),
            Norm("norm2", "residual2", hidden),
        ),
        "norm2",
    )


def pre_norm(shape: Shape, *, causal: bool) -> Graph:
    """A layer whose norms stand at the beginning of the branches: the residual stream itself is never normalised."""
    hidden = shape.hidden
    return Graph(
        "tokens",
        hidden,
        (
            Norm("norm1", "tokens", hidden),
            *attention(shape, "norm1", causal=causal),
            Add("residual1", "tokens", "projection", hidden),
            Norm("norm2", "residual1", hidden),
            *feed_forward(shape, "norm2"),
            Add("residual2", "residual1", "ffn2", hidden),
        ),
        "residual2",
    )


def logits(shape: Shape, *, root_mean_square: bool = False) -> Graph:
    """The head of a decoder: the last norm, and the logits of the next token."""
    hidden = shape.hidden
    norm = Norm("norm", "tokens", hidden, root_mean_square=root_mean_square)
    head = Linear("head", "norm", hidden, (Part("logits", shape.vocabulary),), bias=False)
    return Graph("tokens", hidden, (norm, head), "logits")


def learned_positions(shape: Shape) -> EmbeddingTables:
    """The tables of words and of positions. The two spare positions of OPT are left out."""
    return EmbeddingTables(tables={"word": shape.vocabulary, "position": shape.max_positions})
