"""Checkpoints of Hugging Face's GPT-2: their names, and every way in which one may not suit."""

from pathlib import Path

import numpy as np
import pytest
from hdl.model.gpt2.checkpoint import load_checkpoint

from hdl.errors import InputError
from hdl.model.safetensors import write_safetensors
from hdl.model.weights import random_weights

from ..checkpoints import gpt2_tensors as tensors
from .networks import SMALL

WEIGHTS = random_weights(SMALL, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refused(path: Path, contents: dict[str, np.ndarray]) -> str:
    write_safetensors(path, contents, {})
    with pytest.raises(InputError) as error:
        load_checkpoint(path, SMALL)
    return str(error.value).removeprefix(f"{path}")


@pytest.mark.parametrize("prefix", ["", "transformer.", "model.transformer."])
@pytest.mark.parametrize("masks", [False, True])
def test_all_names_in_use(path: Path, prefix: str, masks: bool) -> None:
    contents = {prefix + name: tensor for name, tensor in tensors(WEIGHTS).items()}
    if masks:
        contents |= {f"{prefix}h.2.attn.bias": np.tril(np.ones((1, 1, 20, 20), dtype=np.float32))}
        contents |= {f"{prefix}h.2.attn.masked_bias": np.array(-1e4, dtype=np.float32), "lm_head.weight": WEIGHTS.word}
        contents |= {"score.weight": np.zeros(1), "qa_outputs.bias": np.zeros(1), "classifier.weight": np.zeros(1)}
    write_safetensors(path, contents, {})
    checkpoint = load_checkpoint(path, SMALL)
    for name, tensor in tensors(checkpoint.weights).items():
        np.testing.assert_array_equal(tensor, tensors(WEIGHTS)[name], err_msg=name)
    assert checkpoint.ignored == (("classifier.weight", "qa_outputs.bias", "score.weight") if masks else ())
    assert checkpoint.weights.source == f"weights of {path}"


def test_a_tied_matrix_that_is_stored_as_the_heads_alone(path: Path) -> None:
    contents = tensors(WEIGHTS)
    contents["lm_head.weight"] = contents.pop("wte.weight")
    write_safetensors(path, contents, {})
    np.testing.assert_array_equal(load_checkpoint(path, SMALL).weights.word, WEIGHTS.word)
    del contents["lm_head.weight"]
    assert refused(path, contents) == " lacks the tensor 'wte.weight'; is it another model's?"


def test_a_heads_bias_is_not_ignored(path: Path) -> None:
    expected = ": tensor 'lm_head.bias' is of no use to model 'small'; is it another model's?"
    assert refused(path, tensors(WEIGHTS) | {"lm_head.bias": np.zeros(50, dtype=np.float32)}) == expected


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
