"""Qwen3 (https://arxiv.org/abs/2505.09388): heads of queries and keys are normalised, and have a size of their own."""

from .gated import gated_family

__all__ = ["QWEN3"]

QWEN3 = gated_family("qwen3", "Qwen3", r"Qwen3(Model|For[A-Z]\w*)", follows={"head_size": 128}, normed_heads=True)
