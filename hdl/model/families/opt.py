"""OPT: decoders like GPT-2's, with a ReLU (https://arxiv.org/abs/2205.01068). They are only estimated so far."""

from ..family import Family, FamilyKeys
from .blocks import learned_positions, logits, pre_norm
from .keys import HARMLESS, OTHER_NETWORKS, SAME_HEADS, SIZES, plain

__all__ = ["OPT"]


OPT = Family(
    name="opt",
    title="OPT",
    keys=FamilyKeys(
        marks=frozenset({"word_embed_proj_dim", "do_layer_norm_before"}),
        classes=r"(TF|Flax)?OPT(Model|For[A-Z]\w*)",
        shape=SIZES | {"ffn_dim": "intermediate"},
        derived={"tie_word_embeddings": "tied"},
        plain=OTHER_NETWORKS | plain("do_layer_norm_before", True),
        same=SAME_HEADS | {"word_embed_proj_dim": "hidden"},
        # It is estimated only, and biases, norms and activations are left out of estimates.
        harmless=f"{HARMLESS} is_decoder activation_function enable_bias layer_norm_elementwise_affine "
        "_remove_final_layer_norm",
    ),
    complete=lambda given: {"norm_eps": 1e-5, "activation": "relu"},
    layer=lambda shape: pre_norm(shape, causal=True),
    head=logits,
    embedding=learned_positions,
)
