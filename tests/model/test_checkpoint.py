"""Checkpoints of Hugging Face: their names, and every way in which one may not suit."""

from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.checkpoint import load_checkpoint
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import installed_checkpoint
from hdl.model.safetensors import write_safetensors
from hdl.model.weights import Weights, random_weights

from .checkpoints import tensors
from .networks import SMALL, SMALL_BERT, SMALL_GPT2, dense

WEIGHTS = {family: random_weights(network, 1) for family, network in SMALL.items()}
BERT, GPT2 = WEIGHTS["bert"], WEIGHTS["gpt2"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refused(path: Path, contents: dict[str, np.ndarray], network: Network) -> str:
    write_safetensors(path, contents, {})
    with pytest.raises(InputError) as error:
        load_checkpoint(path, network)
    return str(error.value).removeprefix(f"{path}")


def assert_same(found: Weights, expected: Weights) -> None:
    for name, tensor in tensors(expected).items():
        np.testing.assert_array_equal(tensors(found)[name], tensor, err_msg=name)


@pytest.mark.parametrize("prefix", ["", "bert.", "model.bert."])
@pytest.mark.parametrize("legacy", [False, True])
def test_all_names_of_bert_in_use(path: Path, prefix: str, legacy: bool) -> None:
    names = {name: prefix + name for name in tensors(BERT)}
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
    write_safetensors(path, {names[name]: tensor for name, tensor in tensors(BERT).items()} | extra, {})
    checkpoint = load_checkpoint(path, SMALL_BERT)
    assert_same(checkpoint.weights, BERT)
    assert checkpoint.ignored == ("cls.predictions.bias", "pooler.dense.weight", "qa_outputs.bias", "score.weight")
    assert checkpoint.weights.source == f"weights of {path}"


@pytest.mark.parametrize("prefix", ["", "transformer.", "model.transformer."])
@pytest.mark.parametrize("masks", [False, True])
def test_all_names_of_gpt2_in_use(path: Path, prefix: str, masks: bool) -> None:
    contents = {prefix + name: tensor for name, tensor in tensors(GPT2).items()}
    if masks:
        contents |= {f"{prefix}h.2.attn.bias": np.tril(np.ones((1, 1, 20, 20), dtype=np.float32))}
        contents |= {f"{prefix}h.2.attn.masked_bias": np.array(-1e4, dtype=np.float32)}
        contents |= {"lm_head.weight": GPT2.tables["word"]}
        contents |= {"score.weight": np.zeros(1), "qa_outputs.bias": np.zeros(1), "classifier.weight": np.zeros(1)}
    write_safetensors(path, contents, {})
    checkpoint = load_checkpoint(path, SMALL_GPT2)
    assert_same(checkpoint.weights, GPT2)
    assert checkpoint.ignored == (("classifier.weight", "qa_outputs.bias", "score.weight") if masks else ())
    assert checkpoint.weights.source == f"weights of {path}"


@pytest.mark.parametrize("family", SMALL)
def test_a_head_is_the_table_of_words_or_is_not_there(path: Path, family: str) -> None:
    write_safetensors(path, tensors(WEIGHTS[family]), {})
    weights = load_checkpoint(path, SMALL[family]).weights
    if family == "bert":
        assert weights.head == {}
    else:
        assert dense(weights.head, "logits").weight is weights.tables["word"]
        assert not dense(weights.head, "logits").bias.any()


def test_a_tied_matrix_that_is_stored_as_the_heads_alone(path: Path) -> None:
    contents = tensors(GPT2)
    contents["lm_head.weight"] = contents.pop("wte.weight")
    write_safetensors(path, contents, {})
    np.testing.assert_array_equal(load_checkpoint(path, SMALL_GPT2).weights.tables["word"], GPT2.tables["word"])
    del contents["lm_head.weight"]
    assert refused(path, contents, SMALL_GPT2) == " lacks the tensor 'wte.weight'; is it another model's?"


def test_a_heads_bias_is_not_ignored(path: Path) -> None:
    expected = ": tensor 'lm_head.bias' is of no use to model 'small'; is it another model's?"
    assert refused(path, tensors(GPT2) | {"lm_head.bias": np.zeros(50, dtype=np.float32)}, SMALL_GPT2) == expected


def test_a_head_of_its_own(path: Path) -> None:
    expected = ": tensor 'lm_head.weight' must be the same as 'wte.weight', as the head is tied"
    assert refused(path, tensors(GPT2) | {"lm_head.weight": GPT2.tables["word"] + 1}, SMALL_GPT2) == expected


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_half_and_double_precision(path: Path, kind: type) -> None:
    write_safetensors(path, {name: tensor.astype(kind) for name, tensor in tensors(BERT).items()}, {})
    found = dense(load_checkpoint(path, SMALL_BERT).weights.layers[1], "ffn2").weight
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, dense(BERT.layers[1], "ffn2").weight.astype(kind))


@pytest.mark.parametrize(
    ("family", "name"), [("bert", "encoder.layer.1.output.dense.bias"), ("gpt2", "h.1.mlp.c_fc.bias")]
)
def test_missing_tensor(path: Path, family: str, name: str) -> None:
    contents = tensors(WEIGHTS[family])
    del contents[name]
    assert refused(path, contents, SMALL[family]) == f" lacks the tensor {name!r}; is it another model's?"


@pytest.mark.parametrize(
    ("family", "name"),
    [("bert", "bert.encoder.layer.2.output.dense.bias"), ("gpt2", "transformer.h.3.mlp.c_fc.bias")],
)
def test_tensor_of_no_use(path: Path, family: str, name: str) -> None:
    contents = tensors(WEIGHTS[family]) | {name: np.zeros(1, dtype=np.float32)}
    expected = f": tensor {name!r} is of no use to model 'small'; is it another model's?"
    assert refused(path, contents, SMALL[family]) == expected


def test_tensor_that_is_there_twice(path: Path) -> None:
    name = "encoder.layer.1.output.LayerNorm"
    contents = tensors(BERT) | {f"{name}.beta": np.zeros(1)}
    assert refused(path, contents, SMALL_BERT) == f": tensors '{name}.beta' and '{name}.bias' must not be there both"


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [("bert", "encoder.layer.0.intermediate.dense.weight", [80, 48]), ("gpt2", "h.0.mlp.c_fc.weight", [48, 80])],
)
def test_matrix_that_is_stored_as_the_other_familys(path: Path, family: str, name: str, shape: list[int]) -> None:
    contents = tensors(WEIGHTS[family])
    contents[name] = contents[name].T
    expected = f": tensor {name!r} must be of shape {shape}, not {shape[::-1]}"
    assert refused(path, contents, SMALL[family]) == expected


def test_weight_that_is_not_a_number(path: Path) -> None:
    name = "encoder.layer.0.attention.self.key.bias"
    contents = tensors(BERT)
    contents[name] = contents[name].copy()
    contents[name][5] = np.nan
    assert refused(path, contents, SMALL_BERT) == f": tensor {name!r} must be finite in F32, but is nan at [5]"


def test_weight_that_float32_cannot_hold(path: Path) -> None:
    name = "encoder.layer.0.attention.self.key.bias"
    contents = tensors(BERT)
    contents[name] = contents[name].astype(np.float64)
    contents[name][5] = 1e39
    assert refused(path, contents, SMALL_BERT) == f": tensor {name!r} must be finite in F32, but is 1e+39 at [5]"


def test_installed_weights() -> None:
    folder = installed_checkpoint("minilm-l6")
    assert folder is not None
    checkpoint = load_checkpoint(folder / "model.safetensors", load_model("minilm-l6"))
    assert checkpoint.ignored == ("pooler.dense.bias", "pooler.dense.weight")
    assert load_model(str(folder)).hidden == 384
