"""Checkpoints of Hugging Face: their names, and every way in which one may not suit."""

from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.checkpoint import load_checkpoint
from hdl.model.load import load_model
from hdl.model.origin import installed_checkpoint
from hdl.model.safetensors import write_safetensors
from hdl.model.weights import Weights, random_weights

from .checkpoints import bert_tensors as tensors
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


def assert_same(found: Weights, expected: Weights) -> None:
    for name, tensor in tensors(expected).items():
        np.testing.assert_array_equal(tensors(found)[name], tensor, err_msg=name)


@pytest.mark.parametrize("prefix", ["", "bert.", "model.bert."])
@pytest.mark.parametrize("legacy", [False, True])
def test_all_names_in_use(path: Path, prefix: str, legacy: bool) -> None:
    names = {name: prefix + name for name in tensors(WEIGHTS)}
    if legacy:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, own in old.items():
            names = {name: written.replace(new, own) for name, written in names.items()}
    extra = {
        "pooler.dense.weight": np.zeros(2),
        "embeddings.position_ids": np.zeros(2),
        "cls.predictions.bias": np.zeros(1),
        "score.weight": np.zeros(1),
        f"{prefix}qa_outputs.bias": np.zeros(1),
    }
    write_safetensors(path, {names[name]: tensor for name, tensor in tensors(WEIGHTS).items()} | extra, {})
    checkpoint = load_checkpoint(path, SMALL)
    assert_same(checkpoint.weights, WEIGHTS)
    assert checkpoint.ignored == ("cls.predictions.bias", "pooler.dense.weight", "qa_outputs.bias", "score.weight")
    assert checkpoint.weights.source == f"weights of {path}"


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_half_and_double_precision(path: Path, kind: type) -> None:
    write_safetensors(path, {name: tensor.astype(kind) for name, tensor in tensors(WEIGHTS).items()}, {})
    found = load_checkpoint(path, SMALL).weights.layers[1].ffn2.weight
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, WEIGHTS.layers[1].ffn2.weight.astype(kind))


def test_missing_tensor(path: Path) -> None:
    contents = tensors(WEIGHTS)
    del contents["encoder.layer.1.output.dense.bias"]
    expected = " lacks the tensor 'encoder.layer.1.output.dense.bias'; is it another model's?"
    assert refused(path, contents) == expected


def test_tensor_of_no_use(path: Path) -> None:
    name = "bert.encoder.layer.2.output.dense.bias"
    expected = f": tensor {name!r} is of no use to model 'small'; is it another model's?"
    assert refused(path, tensors(WEIGHTS) | {name: np.zeros(1, dtype=np.float32)}) == expected


def test_tensor_that_is_there_twice(path: Path) -> None:
    name = "encoder.layer.1.output.LayerNorm"
    contents = tensors(WEIGHTS) | {f"{name}.beta": np.zeros(1)}
    assert refused(path, contents) == f": tensors '{name}.bias' and '{name}.beta' must not be there both"


def test_tensor_of_another_shape(path: Path) -> None:
    name = "encoder.layer.0.intermediate.dense.weight"
    contents = tensors(WEIGHTS)
    contents[name] = contents[name].T
    assert refused(path, contents) == f": tensor {name!r} must be of shape [80, 48], not [48, 80]"


def test_weight_that_is_not_a_number(path: Path) -> None:
    name = "encoder.layer.0.attention.self.key.bias"
    contents = tensors(WEIGHTS)
    contents[name] = contents[name].copy()
    contents[name][5] = np.nan
    assert refused(path, contents) == f": tensor {name!r} must be finite in F32, but is nan at [5]"


def test_weight_that_float32_cannot_hold(path: Path) -> None:
    name = "encoder.layer.0.attention.self.key.bias"
    contents = tensors(WEIGHTS)
    contents[name] = contents[name].astype(np.float64)
    contents[name][5] = 1e39
    assert refused(path, contents) == f": tensor {name!r} must be finite in F32, but is 1e+39 at [5]"


def test_installed_weights() -> None:
    folder = installed_checkpoint("minilm-l6")
    assert folder is not None
    checkpoint = load_checkpoint(folder / "model.safetensors", load_model("minilm-l6"))
    assert checkpoint.ignored == ("pooler.dense.bias", "pooler.dense.weight")
    assert load_model(str(folder)).hidden == 384
