"""BERT: encoders with post-norm layers and learned positions (https://arxiv.org/abs/1810.04805)."""

from ..architecture import Graph, Norm
from ..family import EmbeddingTables, Family, FamilyKeys, Layout
from ..shape import Shape
from .blocks import post_norm
from .keys import HARMLESS, LEARNED, OTHER_NETWORKS, SAME_HEADS, SIZES, plain

__all__ = ["BERT"]


def embedding(shape: Shape) -> EmbeddingTables:
    """See `Family`."""
    norm = Graph("sum", shape.hidden, (Norm("norm", "sum", shape.hidden),), "norm")
    tables = {"word": shape.vocabulary, "position": shape.max_positions, "token_type": shape.token_types}
    return EmbeddingTables(tables=tables, graph=norm)


BERT = Family(
    name="bert",
    title="BERT",
    keys=FamilyKeys(
        marks=frozenset({"type_vocab_size", "attention_probs_dropout_prob"}),
        classes=r"(TF|Flax)?Bert(Model|LMHeadModel|For[A-Z]\w*)",
        shape=SIZES | {"intermediate_size": "intermediate"},
        defaults={
            "type_vocab_size": ("token_types", 2),
            "layer_norm_eps": ("norm_eps", 1e-12),
            "hidden_act": ("activation", "gelu"),
        },
        plain=OTHER_NETWORKS | LEARNED | plain("is_decoder prenorm norm_first", False),
        same=SAME_HEADS | {"embedding_size": "hidden"},
        # BERT's pooler and its head for masked words are left out, so it does not matter whether that is tied.
        harmless=f"{HARMLESS} tie_word_embeddings pooler_* directionality",
    ),
    layer=lambda shape: post_norm(shape, causal=False),
    embedding=embedding,
    layout=Layout(
        tables={
            "word": "embeddings.word_embeddings.weight",
            "position": "embeddings.position_embeddings.weight",
            "token_type": "embeddings.token_type_embeddings.weight",
        },
        embedding={"embeddings.LayerNorm": ("norm",)},
        prefix="encoder.layer.{}.",
        layer={
            "attention.self.query": ("queries",),
            "attention.self.key": ("keys",),
            "attention.self.value": ("values",),
            "attention.output.dense": ("projection",),
            "attention.output.LayerNorm": ("norm1",),
            "intermediate.dense": ("ffn1",),
            "output.dense": ("ffn2",),
            "output.LayerNorm": ("norm2",),
        },
        modules=("model.", "bert."),
        renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
        buffers=r"embeddings\.(position|token_type)_ids$",
    ),
)
