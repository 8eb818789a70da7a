"""What the relatives of LLaMA have in common: pre-norm layers with RMS norms, rotary positions, gated feed-forward
parts, and heads of queries that share heads of keys and values."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError, shown
from ...notices import notify
from ..architecture import Add, Attention, Gate, Graph, HeadNorm, Linear, Norm, Operator, Part, Rotary, Table
from ..family import EmbeddingTables, Family, FamilyKeys, Layout
from ..rotary import Angles
from ..shape import Shape
from .blocks import logits
from .keys import HARMLESS, OTHER_NETWORKS, SIZES, plain

__all__ = ["gated_family"]


def layer(shape: Shape, *, qkv_bias: bool, normed_heads: bool) -> Graph:
    """A layer. ``qkv_bias``: queries, keys and values have biases whatever the shape says. ``normed_heads``: each head
    of queries and of keys is normalised."""
    hidden, inner, size = shape.hidden, shape.intermediate, shape.head_size
    angles = Angles(shape.rotary_base, shape.rotary_factor, shape.rotary_low, shape.rotary_high, shape.rotary_positions)
    attended, shared = shape.heads * size, shape.kv_heads * size
    parts = (Part("plain_keys", shared), Part("values", shared), Part("plain_queries", attended))
    sizes = {"heads": shape.heads, "kv_heads": shape.kv_heads, "head_size": size}
    norms: list[Operator] = []
    turned = {"keys": "plain_keys", "queries": "plain_queries"}
    if normed_heads:
        for name, heads in (("keys", shape.kv_heads), ("queries", shape.heads)):
            turned[name] = f"normed_{name}"
            norms.append(HeadNorm(turned[name], f"plain_{name}", heads * size, root_mean_square=True, heads=heads))
    return Graph(
        "tokens",
        hidden,
        (
            Norm("norm1", "tokens", hidden, root_mean_square=True),
            Linear("qkv", "norm1", hidden, parts, bias=qkv_bias or shape.attention_bias),
            *norms,
            Rotary("keys", turned["keys"], shared, size, angles),
            Rotary("queries", turned["queries"], attended, size, angles),
            Attention("context", queries="queries", keys="keys", values="values", causal=True, **sizes),
            Linear("projection", "context", attended, (Part("projection", hidden),), bias=shape.attention_bias),
            Add("residual1", "tokens", "projection", hidden),
            Norm("norm2", "residual1", hidden, root_mean_square=True),
            Linear("ffn1", "norm2", hidden, (Part("gate", inner), Part("up", inner)), bias=shape.ffn_bias),
            Table("activation", "gate", inner, shape.activation),
            Gate("gated", "activation", "up", inner),
            Linear("ffn2", "gated", inner, (Part("ffn2", hidden),), bias=shape.ffn_bias),
            Add("residual2", "residual1", "ffn2", hidden),
        ),
        "residual2",
    )


DEFAULTS = {
    "rms_norm_eps": ("norm_eps", 1e-6),
    "hidden_act": ("activation", "silu"),
    "rope_theta": ("rotary_base", 10000.0),
}
"""See `FamilyKeys`."""

SCALING = {
    "factor": "rotary_factor",
    "low_freq_factor": "rotary_low",
    "high_freq_factor": "rotary_high",
    "original_max_position_embeddings": "rotary_positions",
}
"""The keys of a scaling of rotary positions, and the fields that they are."""

SCALINGS = {"default": (), "linear": ("factor",), "llama3": tuple(SCALING)}
"""The kinds of scaling, and the keys that each needs."""


def unfold(values: dict[str, Any], source: str) -> dict[str, Any]:
    """See `FamilyKeys`: the keys of rotary positions, which transformers 4 and 5 have in different places; and fewer
    positions where attention has a sliding window.

    Raises:
        InputError: for a scaling of another kind, and for one that lacks a number.
    """
    found = dict(values)
    for key in ("rope_scaling", "rope_parameters"):
        if (own := found.pop(key, None)) is not None:
            found |= _scaling(own, f"{key} in {source}")
    window, most = found.pop("sliding_window", None), found.get("max_position_embeddings")
    if window is not None and found.get("use_sliding_window", True) and isinstance(most, int):
        if type(window) is not int or window < 1:
            raise InputError(f"sliding_window in {source} must be a whole number of at least 1, not {shown(window)}")
        if window < most:
            notify(f"{source} has a sliding window of {window:,} tokens; texts have at most as many, not {most:,}")
            found["max_position_embeddings"] = window
    return found


def _scaling(own: Any, where: str) -> dict[str, Any]:
    """The keys in a description of rotary positions, beside the others; those of scaling have ``rope.`` in front."""
    if not isinstance(own, Mapping):
        raise InputError(f"{where} must be an object of numbers, not {shown(own)}")
    kind = own.get("rope_type", own.get("type", "default"))
    if kind not in tuple(SCALINGS):
        raise InputError(f"{where} must be of the type {', '.join(SCALINGS)}, not {shown(kind)}")
    if missing := [key for key in SCALINGS[kind] if own.get(key) is None]:
        raise InputError(f"{where} lacks {missing[0]!r}, which the type {kind!r} needs")
    found = {f"rope.{key}": own[key] for key in SCALINGS[kind]}
    return found | {key: own[key] for key in ("rope_theta", "partial_rotary_factor") if own.get(key) is not None}


def gated_family(
    name: str,
    title: str,
    classes: str,
    *,
    marks: frozenset[str] = frozenset(),
    follows: Mapping[str, Any] | None = None,
    qkv_bias: bool = False,
    normed_heads: bool = False,
    gguf_neighbours: bool = False,
) -> Family:
    """A family of such networks. ``follows``: fields of a shape that a configuration may leave out, and their values.
    ``qkv_bias``, ``normed_heads``: see `layer`. ``gguf_neighbours``: see `Layout`."""
    own = {"self_attn.q_norm": ("normed_queries",), "self_attn.k_norm": ("normed_keys",)} if normed_heads else {}
    others = {key: values for key, values in OTHER_NETWORKS.items() if key != "sliding_window"}
    return Family(
        name=name,
        title=title,
        keys=FamilyKeys(
            marks=marks,
            classes=classes,
            shape=SIZES | {"intermediate_size": "intermediate"},
            defaults=DEFAULTS,
            derived={"num_key_value_heads": "kv_heads", "head_dim": "head_size", "tie_word_embeddings": "tied"},
            extras={f"rope.{key}": field for key, field in SCALING.items()}
            | {"attention_bias": "attention_bias", "mlp_bias": "ffn_bias"},
            plain=others | plain("rope_interleaved", False) | plain("partial_rotary_factor", 1),
            harmless=f"{HARMLESS} is_decoder pretraining_tp is_llama_config max_sequence_length max_window_layers",
            unfold=unfold,
        ),
        complete=lambda given: {"tied": False} | dict(DEFAULTS.values()) | dict(follows or {}),
        layer=lambda shape: layer(shape, qkv_bias=qkv_bias, normed_heads=normed_heads),
        head=lambda shape: logits(shape, root_mean_square=True),
        embedding=lambda shape: EmbeddingTables(tables={"word": shape.vocabulary}),
        layout=Layout(
            tables={"word": "embed_tokens.weight"},
            prefix="layers.{}.",
            layer={
                "self_attn.q_proj": ("plain_queries",),
                "self_attn.k_proj": ("plain_keys",),
                "self_attn.v_proj": ("values",),
                "self_attn.o_proj": ("projection",),
                "mlp.gate_proj": ("gate",),
                "mlp.up_proj": ("up",),
                "mlp.down_proj": ("ffn2",),
                "input_layernorm": ("norm1",),
                "post_attention_layernorm": ("norm2",),
                **own,
            },
            head={"norm": ("norm",), "lm_head": ("logits",)},
            modules=("model.",),
            buffers=r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq$",
            tied="lm_head.weight",
            gguf_neighbours=gguf_neighbours,
            apart=frozenset({"plain_queries", "plain_keys", "normed_queries", "normed_keys"}),
        ),
    )
