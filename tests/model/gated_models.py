"""Small random relatives of LLaMA and what the package transformers computes with them. As a program, it writes the
files in ``tests/fixtures/gated``: for each model its configuration and the shapes of its tensors, whose values follow
from a seed, and the logits of `TOKENS`. They were made by transformers 5.24.0 and torch 2.13.0.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hdl.model.safetensors import write_safetensors

FOLDER = Path(__file__).parents[1] / "fixtures" / "gated"

TOKENS = (17, 0, 39, 4, 4, 21, 8, 30, 2, 33, 12, 60, 1, 7, 7, 50)
PROMPT = 11
"""Tokens of the text that are taken at once, before the others one by one, with the cache."""

SHARED: dict[str, Any] = {
    "num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 56, "max_position_embeddings": 32,
    "vocab_size": 61, "rms_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama2": ("Llama", {"head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 2}),
    "llama3": (
        "Llama",
        {
            "head_dim": 64, "num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True,
            "rope_parameters": LLAMA3 | {"original_max_position_embeddings": 24, "rope_theta": 5000.0},
        },
    ),
    "biased": (
        "Llama",
        {
            "head_dim": 32, "num_attention_heads": 6, "num_key_value_heads": 2, "attention_bias": True,
            "mlp_bias": True, "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0},
        },
    ),
    "mistral": ("Mistral", {"head_dim": 128, "num_attention_heads": 8, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2", {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1}),
    "qwen3": ("Qwen3", {"head_dim": 64, "num_attention_heads": 8, "num_key_value_heads": 1,
                        "tie_word_embeddings": True}),
}  # fmt: skip
"""The class of each model in transformers, and what is not `SHARED` of its configuration."""


def drawn(shapes: dict[str, list[int]], seed: int = 1) -> dict[str, np.ndarray]:
    """Tensors of these shapes: factors of norms near 1, biases, and matrices that leave deviations as they are."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, shape in sorted(shapes.items()):
        values = generator.standard_normal(shape)
        if len(shape) > 1:
            values *= 1.5 / np.sqrt(shape[-1])
        else:
            values = 0.3 * values + ("norm" in name)
        found[name] = values.astype(np.float32)
    return found


def write_gated(name: str, folder: Path) -> None:
    """Writes ``config.json`` and ``model.safetensors`` of a model, as transformers saves them."""
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(stored["config"]))
    write_safetensors(folder / "model.safetensors", drawn(stored["shapes"]), {})


def build(name: str) -> tuple[dict[str, Any], np.ndarray]:
    """What is stored of a model, and its logits [tokens, vocabulary]."""
    import torch
    import transformers

    kind, own = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(**SHARED | own)
    model: Any = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        tensors = dict(model.named_parameters())
        shapes = {own: list(tensor.shape) for own, tensor in tensors.items()}
        for own, values in drawn(shapes).items():
            tensors[own].copy_(torch.from_numpy(values))
        logits = model(torch.tensor([TOKENS])).logits[0].numpy()
    return {"config": config.to_dict() | {"architectures": [f"{kind}ForCausalLM"]}, "shapes": shapes}, logits


def main() -> None:
    """Write the files."""
    found = {}
    for name in MODELS:
        stored, found[name] = build(name)
        (FOLDER / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")
    np.savez_compressed(FOLDER / "logits.npz", **found)


if __name__ == "__main__":
    sys.exit(main())
