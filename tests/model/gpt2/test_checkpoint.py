"""Checkpoints of Hugging Face's GPT-2: their names, and every way in which one may not suit."""

from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.gpt2.checkpoint import load_checkpoint
from hdl.model.gpt2.weights import Gpt2Weights, random_weights
from hdl.model.safetensors import write_safetensors

from .networks import SMALL

WEIGHTS = random_weights(SMALL, 1)


def tensors(weights: Gpt2Weights) -> dict[str, np.ndarray]:
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refused(path: Path, contents: dict[str, np.ndarray]) -> str:
    write_safetensors(path, contents, {})
    with pytest.raises(InputError) as error:
        load_checkpoint(path, SMALL)
    return str(error.value).removeprefix(f"{path}")


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("masks", [False, True])
def test_all_names_in_use(path: Path, prefix: str, masks: bool) -> None:
    contents = {prefix + name: tensor for name, tensor in tensors(WEIGHTS).items()}
    if masks:
        contents |= {f"{prefix}h.2.attn.bias": np.tril(np.ones((1, 1, 20, 20), dtype=np.float32))}
        contents |= {f"{prefix}h.2.attn.masked_bias": np.array(-1e4, dtype=np.float32), "lm_head.weight": WEIGHTS.word}
    write_safetensors(path, contents, {})
    for place in (path, path.parent):
        checkpoint = load_checkpoint(place, SMALL)
        for name, tensor in tensors(checkpoint.weights).items():
            np.testing.assert_array_equal(tensor, tensors(WEIGHTS)[name], err_msg=name)
        assert checkpoint.ignored == (("h.2.attn.bias", "h.2.attn.masked_bias") if masks else ())
        assert checkpoint.weights.source == f"weights of {path}"


def test_a_head_of_its_own(path: Path) -> None:
    expected = ": tensor 'lm_head.weight' must be the same as 'wte.weight', as GPT-2's head is tied"
    assert refused(path, tensors(WEIGHTS) | {"lm_head.weight": WEIGHTS.word + 1}) == expected


def test_missing_tensor(path: Path) -> None:
    contents = tensors(WEIGHTS)
    del contents["h.1.mlp.c_fc.bias"]
    assert refused(path, contents) == " lacks the tensor 'h.1.mlp.c_fc.bias'; is it another model's?"


def test_tensor_of_no_use(path: Path) -> None:
    name = "transformer.h.3.mlp.c_fc.bias"
    expected = f": tensor {name!r} is of no use to model 'small'; is it another model's?"
    assert refused(path, tensors(WEIGHTS) | {name: np.zeros(1, dtype=np.float32)}) == expected


def test_matrix_stored_as_an_encoders(path: Path) -> None:
    contents = tensors(WEIGHTS)
    contents["h.0.mlp.c_fc.weight"] = contents["h.0.mlp.c_fc.weight"].T
    assert refused(path, contents) == ": tensor 'h.0.mlp.c_fc.weight' must be of shape [48, 80], not [80, 48]"
