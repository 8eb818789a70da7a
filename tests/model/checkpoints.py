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
from hdl.model.weights import Dense, NormWeights, Weights, random_weights

from .networks import bert, dense, gpt2

BERT = bert("bert", layers=1, hidden=16, heads=2, intermediate=32, max_positions=16, vocabulary=8)
GPT2 = gpt2("gpt2", layers=1, hidden=16, heads=2, intermediate=64, max_positions=16, vocabulary=8)
"""The least models of either family."""

WORDS = ("[UNK]", "the", "cat", "sat", "on", "a", "mat", "dog")
"""The vocabulary of both."""


BERT_NAMES = {
    "queries": "attention.self.query",
    "keys": "attention.self.key",
    "values": "attention.self.value",
    "projection": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "ffn1": "intermediate.dense",
    "ffn2": "output.dense",
    "norm2": "output.LayerNorm",
}
GPT2_NAMES = {
    "norm1": "ln_1", "projection": "attn.c_proj", "norm2": "ln_2", "ffn1": "mlp.c_fc", "ffn2": "mlp.c_proj",
}  # fmt: skip
"""Parts of a layer by their names in this project, and their names in checkpoints."""


def stored(name: str, part: Dense | NormWeights, *, transposed: bool = False) -> dict[str, np.ndarray]:
    """A part's two tensors."""
    if isinstance(part, NormWeights):
        return {f"{name}.weight": part.gamma, f"{name}.bias": part.beta}
    return {f"{name}.weight": part.weight.T if transposed else part.weight, f"{name}.bias": part.bias}


def bert_tensors(weights: Weights) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, as Hugging Face names them, written out independently of the reader."""
    found = {
        "embeddings.word_embeddings.weight": weights.tables["word"],
        "embeddings.position_embeddings.weight": weights.tables["position"],
        "embeddings.token_type_embeddings.weight": weights.tables["token_type"],
    } | stored("embeddings.LayerNorm", weights.embedding["norm"])
    for index, layer in enumerate(weights.layers):
        for own, name in BERT_NAMES.items():
            found |= stored(f"encoder.layer.{index}.{name}", layer[own])
    return found


def gpt2_tensors(weights: Weights) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, as Hugging Face names and lays them out, written out independently of the reader."""
    found = {"wte.weight": weights.tables["word"], "wpe.weight": weights.tables["position"]}
    found |= stored("ln_f", weights.head["norm"])
    for index, layer in enumerate(weights.layers):
        for own, name in GPT2_NAMES.items():
            found |= stored(f"h.{index}.{name}", layer[own], transposed=True)
        parts = [dense(layer, name) for name in ("queries", "keys", "values")]
        found |= {
            f"h.{index}.attn.c_attn.weight": np.hstack([part.weight.T for part in parts]),
            f"h.{index}.attn.c_attn.bias": np.hstack([part.bias for part in parts]),
        }
    return found


def tensors(weights: Weights) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, as Hugging Face has them for the family."""
    return {"bert": bert_tensors, "gpt2": gpt2_tensors}[weights.network.family](weights)


def config(spec: Network) -> dict[str, Any]:
    """The `config.json` of a model."""
    shared = {"model_type": spec.family, "vocab_size": spec.vocabulary}
    if spec.family == "bert":
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
    found = tensors(random_weights(spec, 7))
    if shards:
        write_shards(folder, found | extra, shards)
    else:
        write_safetensors(folder / "model.safetensors", found | extra, {})
    write_tokeniser(folder)
    return found


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
