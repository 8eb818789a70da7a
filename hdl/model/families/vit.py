"""Vision transformers: encoders of image patches with pre-norm layers. ViT (https://arxiv.org/abs/2010.11929) has one
token beside the patches, the class; DeiT (https://arxiv.org/abs/2012.12877) has another for distillation.

The host embeds the patches, a linear operator on their pixels, and normalises the last layer's output.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import InputError
from ..architecture import Graph, Linear, Norm, Part
from ..family import EmbeddingTables, Family, FamilyKeys, Layout
from ..shape import Shape
from .blocks import pre_norm
from .keys import HARMLESS, OTHER_NETWORKS, SAME_HEADS, plain

__all__ = ["DEIT", "VIT"]


def embed(image: Any, tables: Mapping[str, np.ndarray], operators: Mapping[str, Any], shape: Shape) -> np.ndarray:
    """Features [patches and tokens, hidden] of an image [channels, height, width]: its patches row by row, in front of
    them the tokens, and the learned positions added."""
    channels, size, patch = shape.channels, shape.image_size, shape.patch_size
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.shape != (channels, size, size):
        found = " x ".join(map(str, pixels.shape))
        raise InputError(f"image for model {shape.name!r} must be {channels} x {size} x {size}, not {found}")
    cut = pixels.reshape(channels, size // patch, patch, size // patch, patch).transpose(1, 3, 0, 2, 4)
    patches = cut.reshape(-1, channels * patch * patch) @ operators["patches"].weight.T + operators["patches"].bias
    tokens = [table for name, table in tables.items() if name != "position"]
    features: np.ndarray = np.concatenate([*tokens, patches]) + tables["position"]
    return features


def family(name: str, title: str, tokens: Mapping[str, str], classes: str) -> Family:
    """A family with these ``tokens`` beside the patches, and the tensors of their embeddings."""

    def embedding(shape: Shape) -> EmbeddingTables:
        pixels = shape.channels * shape.patch_size**2
        patches = Linear("patches", "pixels", pixels, (Part("patches", shape.hidden),))
        graph = Graph("pixels", pixels, (patches,), "patches")
        return EmbeddingTables(tables=dict.fromkeys(tokens, 1) | {"position": shape.max_positions}, graph=graph)

    return Family(
        name=name,
        title=title,
        keys=FamilyKeys(
            marks=frozenset({"patch_size"}) if name == "vit" else frozenset(),
            classes=classes,
            shape={
                "num_hidden_layers": "layers",
                "hidden_size": "hidden",
                "num_attention_heads": "heads",
                "intermediate_size": "intermediate",
                "image_size": "image_size",
                "patch_size": "patch_size",
            },
            defaults={
                "num_channels": ("channels", 3),
                "layer_norm_eps": ("norm_eps", 1e-12),
                "hidden_act": ("activation", "gelu"),
            },
            plain=OTHER_NETWORKS | plain("qkv_bias", True) | plain("is_decoder", False),
            same=SAME_HEADS,
            harmless=f"{HARMLESS} encoder_stride pooler_output_size pooler_act image_processor_type",
        ),
        complete=lambda given: {"max_positions": (given["image_size"] // given["patch_size"]) ** 2 + len(tokens)},
        layer=lambda shape: pre_norm(shape, causal=False),
        embedding=embedding,
        embed=embed,
        closing=lambda shape: Graph("tokens", shape.hidden, (Norm("norm", "tokens", shape.hidden),), "norm"),
        layout=Layout(
            tables={**tokens, "position": "embeddings.position_embeddings"},
            embedding={"embeddings.patch_embeddings.projection": ("patches",)},
            prefix="encoder.layer.{}.",
            layer={
                "attention.attention.query": ("queries",),
                "attention.attention.key": ("keys",),
                "attention.attention.value": ("values",),
                "attention.output.dense": ("projection",),
                "intermediate.dense": ("ffn1",),
                "output.dense": ("ffn2",),
                "layernorm_before": ("norm1",),
                "layernorm_after": ("norm2",),
            },
            closing={"layernorm": ("norm",)},
            modules=(f"{name}.",),
            buffers=r"embeddings\.mask_token$",
        ),
    )


VIT = family("vit", "ViT", {"class": "embeddings.cls_token"}, r"ViT(Model|For[A-Z]\w*)")
DEIT = family(
    "deit",
    "DeiT",
    {"class": "embeddings.cls_token", "distillation": "embeddings.distillation_token"},
    r"DeiT(Model|For[A-Z]\w*)",
)
