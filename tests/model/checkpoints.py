"""Checkpoints of small models, written out as Hugging Face has them, independently of the reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from hdl.model.network import Network
from hdl.model.safetensors import write_safetensors
from hdl.model.weights import Weights
from hdl.model.weights import random_weights as random_bert
from hdl.model.weights import random_weights as random_gpt2

from .networks import bert, gpt2

BERT = bert(
    name="bert", layers=1, hidden=16, heads=2, intermediate=32, max_positions=16, vocabulary=8, token_types=2,
    norm_eps=1e-12, activation="gelu",
)  # fmt: skip
GPT2 = gpt2(
    name="gpt2", layers=1, hidden=16, heads=2, intermediate=64, max_positions=16, vocabulary=8, norm_eps=1e-5,
    activation="gelu_new",
)  # fmt: skip
"""The least models of either family."""

WORDS = ("[UNK]", "the", "cat", "sat", "on", "a", "mat", "dog")
"""The vocabulary of both."""


def bert_tensors(weights: Weights) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, as Hugging Face names them, written out independently of the reader."""
    table = weights.embedding
    found = {
        "embeddings.word_embeddings.weight": table.word,
        "embeddings.position_embeddings.weight": table.position,
        "embeddings.token_type_embeddings.weight": table.token_type,
        "embeddings.LayerNorm.weight": table.norm.gamma,
        "embeddings.LayerNorm.bias": table.norm.beta,
    }
    for index, layer in enumerate(weights.layers):
        start = f"encoder.layer.{index}"
        for name, dense in (
            ("attention.self.query", layer.query),
            ("attention.self.key", layer.key),
            ("attention.self.value", layer.value),
            ("attention.output.dense", layer.projection),
            ("intermediate.dense", layer.ffn1),
            ("output.dense", layer.ffn2),
        ):
            found |= {f"{start}.{name}.weight": dense.weight, f"{start}.{name}.bias": dense.bias}
        for name, norm in (("attention.output.LayerNorm", layer.norm1), ("output.LayerNorm", layer.norm2)):
            found |= {f"{start}.{name}.weight": norm.gamma, f"{start}.{name}.bias": norm.beta}
    return found


def gpt2_tensors(weights: Weights) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, as Hugging Face names and lays them out, written out independently of the reader."""
    found = {"wte.weight": weights.word, "wpe.weight": weights.position}
    found |= {"ln_f.weight": weights.norm.gamma, "ln_f.bias": weights.norm.beta}
    for index, layer in enumerate(weights.layers):
        parts = (layer.query, layer.key, layer.value)
        found |= {
            f"h.{index}.ln_1.weight": layer.norm1.gamma,
            f"h.{index}.ln_1.bias": layer.norm1.beta,
            f"h.{index}.attn.c_attn.weight": np.hstack([part.weight.T for part in parts]),
            f"h.{index}.attn.c_attn.bias": np.hstack([part.bias for part in parts]),
            f"h.{index}.attn.c_proj.weight": layer.projection.weight.T,
            f"h.{index}.attn.c_proj.bias": layer.projection.bias,
            f"h.{index}.ln_2.weight": layer.norm2.gamma,
            f"h.{index}.ln_2.bias": layer.norm2.beta,
            f"h.{index}.mlp.c_fc.weight": layer.ffn1.weight.T,
            f"h.{index}.mlp.c_fc.bias": layer.ffn1.bias,
            f"h.{index}.mlp.c_proj.weight": layer.ffn2.weight.T,
            f"h.{index}.mlp.c_proj.bias": layer.ffn2.bias,
        }
    return found


def config(spec: Network) -> dict[str, Any]:
    """The `config.json` of a model."""
    shared = {"model_type": spec.family, "vocab_size": spec.vocabulary}
    if isinstance(spec, Network):
        return shared | {
            "num_hidden_layers": spec.layers,
            "hidden_size": spec.hidden,
            "num_attention_heads": spec.heads,
            "intermediate_size": spec.intermediate,
            "max_position_embeddings": spec.max_positions,
            "type_vocab_size": spec.token_types,
            "layer_norm_eps": spec.norm_eps,
            "hidden_act": spec.activation,
        }
    return shared | {
        "n_layer": spec.layers,
        "n_embd": spec.hidden,
        "n_head": spec.heads,
        "n_inner": spec.intermediate,
        "n_positions": spec.max_positions,
        "layer_norm_epsilon": spec.norm_eps,
        "activation_function": spec.activation,
    }


def write_model(folder: Path, spec: Network, *, shards: int = 0, **extra: np.ndarray) -> dict[str, np.ndarray]:
    """Writes configuration, random weights of seed 7 with ``extra`` tensors, and a tokeniser; returns the tensors.

    ``shards``: the weights are in as many files, with an index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(spec)))
    bert = isinstance(spec, Network)
    tensors = bert_tensors(random_bert(spec, 7)) if bert else gpt2_tensors(random_gpt2(spec, 7))
    if shards:
        write_shards(folder, tensors | extra, shards)
    else:
        write_safetensors(folder / "model.safetensors", tensors | extra, {})
    write_tokeniser(folder)
    return tensors


def write_shards(folder: Path, tensors: dict[str, np.ndarray], shards: int) -> None:
    """Writes tensors, one by one in turn, to several files, and the index."""
    names = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    places = {name: names[index % shards] for index, name in enumerate(tensors)}
    for own in names:
        write_safetensors(folder / own, {name: tensors[name] for name, file in places.items() if file == own}, {})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def write_tokeniser(folder: Path) -> None:
    """Writes a tokeniser of whole `WORDS`."""
    tokeniser = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokeniser.pre_tokenizer = Whitespace()
    tokeniser.save(str(folder / "tokenizer.json"))
