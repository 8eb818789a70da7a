"""LLaMA: decoders with RMS norms, rotary positions, gated feed-forward parts and shared heads of keys and values
(https://arxiv.org/abs/2302.13971). They are only estimated so far."""

from ..architecture import Add, Attention, Gate, Graph, Linear, Norm, Part, Rotary, Table
from ..family import EmbeddingTables, Family, FamilyKeys
from ..shape import Shape
from .blocks import logits
from .keys import HARMLESS, OTHER_NETWORKS, SIZES

__all__ = ["LLAMA"]


def layer(shape: Shape) -> Graph:
    """See `Family`."""
    hidden, inner, size = shape.hidden, shape.intermediate, shape.head_size
    attended, shared = shape.heads * size, shape.kv_heads * size
    parts = (Part("plain_keys", shared), Part("values", shared), Part("plain_queries", attended))
    sizes = {"heads": shape.heads, "kv_heads": shape.kv_heads, "head_size": size}
    return Graph(
        "tokens",
        hidden,
        (
            Norm("norm1", "tokens", hidden, root_mean_square=True),
            Linear("qkv", "norm1", hidden, parts, bias=False),
            Rotary("keys", "plain_keys", shared, size),
            Rotary("queries", "plain_queries", attended, size),
            Attention("context", queries="queries", keys="keys", values="values", causal=True, **sizes),
            Linear("projection", "context", attended, (Part("projection", hidden),), bias=False),
            Add("residual1", "tokens", "projection", hidden),
            Norm("norm2", "residual1", hidden, root_mean_square=True),
            Linear("ffn1", "norm2", hidden, (Part("gate", inner), Part("up", inner)), bias=False),
            Table("activation", "gate", inner, shape.activation),
            Gate("gated", "activation", "up", inner),
            Linear("ffn2", "gated", inner, (Part("ffn2", hidden),), bias=False),
            Add("residual2", "residual1", "ffn2", hidden),
        ),
        "residual2",
    )


LLAMA = Family(
    name="llama",
    title="LLaMA",
    keys=FamilyKeys(
        marks=frozenset({"rms_norm_eps"}),
        classes=r"(Flax)?(Llama|LLaMA)(Model|For[A-Z]\w*)",
        shape=SIZES | {"intermediate_size": "intermediate"},
        derived={"num_key_value_heads": "kv_heads", "head_dim": "head_size", "tie_word_embeddings": "tied"},
        plain=OTHER_NETWORKS,
        # It is estimated only, and biases, norms, activations and the angles of positions are left out of estimates.
        harmless=f"{HARMLESS} is_decoder hidden_act rms_norm_eps attention_bias mlp_bias rope_theta rope_scaling "
        "rope_parameters rope_interleaved pretraining_tp is_llama_config max_sequence_length",
    ),
    complete=lambda given: {"tied": False, "norm_eps": 1e-6, "activation": "silu"},
    layer=layer,
    head=lambda shape: logits(shape, root_mean_square=True),
    embedding=lambda shape: EmbeddingTables(tables={"word": shape.vocabulary}),
)
