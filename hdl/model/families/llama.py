"""LLaMA 2 and 3 (https://arxiv.org/abs/2302.13971), with which SmolLM2 and TinyLlama are the same; and the families
that differ in little: Mistral, and Qwen 2 and 2.5, whose queries, keys and values have biases."""

from .gated import gated_family

__all__ = ["LLAMA", "MISTRAL", "QWEN2"]

LLAMA = gated_family(
    "llama",
    "LLaMA",
    r"(Flax)?(Llama|LLaMA)(Model|For[A-Z]\w*)",
    marks=frozenset({"rms_norm_eps"}),
    gguf_neighbours=True,
)
MISTRAL = gated_family("mistral", "Mistral", r"(Flax)?Mistral(Model|For[A-Z]\w*)", follows={"kv_heads": 8})
QWEN2 = gated_family("qwen2", "Qwen2", r"Qwen2(Model|For[A-Z]\w*)", qkv_bias=True)
