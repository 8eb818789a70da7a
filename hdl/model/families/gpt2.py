"""GPT-2: decoders with pre-norm layers, learned positions and a tied head."""

from ..family import Family, FamilyKeys, Layout
from .blocks import learned_positions, logits, pre_norm
from .keys import HARMLESS, LEARNED, OTHER_NETWORKS, SAME_HEADS, plain

__all__ = ["GPT2"]


GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    keys=FamilyKeys(
        marks=frozenset({"n_embd"}),
        classes=r"(TF|Flax)?GPT2(Model|LMHeadModel|DoubleHeadsModel|For[A-Z]\w*)",
        shape={
            "n_layer": "layers",
            "n_embd": "hidden",
            "n_head": "heads",
            "n_positions": "max_positions",
            "vocab_size": "vocabulary",
        },
        defaults={
            "layer_norm_epsilon": ("norm_eps", 1e-5),
            "activation_function": ("activation", "gelu_new"),
        },
        derived={"n_inner": "intermediate"},
        aliases={
            "num_hidden_layers": "n_layer",
            "hidden_size": "n_embd",
            "num_attention_heads": "n_head",
            "max_position_embeddings": "n_positions",
        },
        plain=OTHER_NETWORKS
        | LEARNED
        | plain("scale_attn_weights tie_word_embeddings", True)
        | plain("scale_attn_by_inverse_layer_idx", False),
        same=SAME_HEADS | {"embedding_size": "hidden"},
        harmless=f"{HARMLESS} is_decoder n_ctx n_special predict_special_tokens reorder_and_upcast_attn summary_*",
    ),
    complete=lambda given: {"intermediate": 4 * given["hidden"]},
    layer=lambda shape: pre_norm(shape, causal=True),
    head=logits,
    embedding=learned_positions,
    layout=Layout(
        tables={"word": "wte.weight", "position": "wpe.weight"},
        prefix="h.{}.",
        layer={
            "attn.c_attn": ("queries", "keys", "values"),
            "attn.c_proj": ("projection",),
            "mlp.c_fc": ("ffn1",),
            "mlp.c_proj": ("ffn2",),
            "ln_1": ("norm1",),
            "ln_2": ("norm2",),
        },
        head={"ln_f": ("norm",)},
        transposed=True,
        modules=("model.", "transformer."),
        buffers=r"h\.\d+\.attn\.(bias|masked_bias)$",
        tied="lm_head.weight",
    ),
)
