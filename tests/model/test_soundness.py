"""Checkpoints that are no model: all 0, all the same, or beyond float32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.network import Network
from hdl.model.origin import Origin
from hdl.model.prepare import prepare
from hdl.model.safetensors import write_safetensors

from .checkpoints import BERT, GPT2, write_model

Change = Callable[[str, np.ndarray], np.ndarray]

SAME = (
    "the outputs must depend on the text, but are the same for all 7 different tokens of the calibration texts; "
    "are these the weights of a trained model?"
)
WORDS = "the word embeddings of tokens must differ, but all are the same; are these the weights of a trained model?"


def prepare_changed(folder: Path, spec: Network, change: Change) -> str:
    """Prepares a model whose tensors are changed by their names; what is said against it."""
    tensors = {name: change(name, tensor) for name, tensor in write_model(folder, spec).items()}
    write_safetensors(folder / "model.safetensors", tensors, {})
    origin, texts = Origin.of(str(folder)), ["the cat sat on a mat", "the dog"]
    try:
        prepare(spec, origin, texts=texts)
    except InputError as error:
        return str(error).removeprefix(f"weights of {folder / 'model.safetensors'}: ")
    return ""


def is_gamma(name: str) -> bool:
    return name.endswith(("Norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight"))


def initial(name: str, tensor: np.ndarray) -> np.ndarray:
    """As the package transformers has them before training."""
    if tensor.ndim == 1:
        return np.full_like(tensor, is_gamma(name))
    return np.random.default_rng(1).normal(0, 0.02, tensor.shape).astype(np.float32)


@pytest.mark.parametrize("spec", [BERT, GPT2], ids=["bert", "gpt2"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, tensor: 0 * tensor, WORDS),
        (lambda name, tensor: np.full_like(tensor, 0.1), WORDS),
        (lambda name, tensor: 0 * tensor if "word" in name or "wte" in name else tensor, WORDS),
        (lambda name, tensor: 0 * tensor if is_gamma(name) else tensor, SAME),
        (lambda name, tensor: tensor * np.float32(1e-30), SAME),
        (initial, ""),
        (lambda name, tensor: 0 * tensor if "mlp" in name or "intermediate" in name else tensor, ""),
        (lambda name, tensor: tensor * np.float32(1e-4), ""),
    ],
    ids=["zero", "constant", "no words", "no gamma", "very small", "initial", "a layer skipped", "small"],
)
def test_weights_that_make_the_same_of_every_text(tmp_path: Path, spec: Network, change: Change, said: str) -> None:
    assert prepare_changed(tmp_path, spec, change) == said


@pytest.mark.parametrize("spec", [BERT, GPT2], ids=["bert", "gpt2"])
def test_weights_whose_products_pass_float32(tmp_path: Path, spec: Network) -> None:
    said = prepare_changed(tmp_path, spec, lambda name, tensor: tensor * np.float32(1e20))
    assert said == (
        "layer 0 keys in float32 must be finite on the calibration texts, but is inf; "
        "are these the weights of a trained model?"
    )
