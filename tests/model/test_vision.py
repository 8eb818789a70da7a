"""Vision transformers: their configurations and checkpoints, and the features that transformers computes."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating, reference
from hdl.model.checkpoint import load_checkpoint
from hdl.model.load import load_model, load_network
from hdl.model.quantise import quantise
from hdl.model.quantisedfile import load_quantised, save_quantised
from hdl.model.safetensors import SafeTensors

FIXTURES = Path(__file__).parents[1] / "fixtures"
"""Models that transformers saved, each with an example: see `make_models`."""

GOOGLE = {
    "architectures": ["ViTForImageClassification"], "attention_probs_dropout_prob": 0.0, "encoder_stride": 16,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "hidden_size": 768, "id2label": {"0": "tench"},
    "image_size": 224, "initializer_range": 0.02, "intermediate_size": 3072, "label2id": {"tench": 0},
    "layer_norm_eps": 1e-12, "model_type": "vit", "num_attention_heads": 12, "num_channels": 3,
    "num_hidden_layers": 12, "patch_size": 16, "qkv_bias": True, "transformers_version": "4.13.0.dev0",
}  # fmt: skip
"""That of google/vit-base-patch16-224."""


def example(name: str) -> tuple[np.ndarray, np.ndarray]:
    """An image [channels, height, width] and its last hidden state [tokens, hidden]."""
    file = SafeTensors(FIXTURES / name / "example.safetensors")
    return file.floats("image"), file.floats("last_hidden_state")


@pytest.mark.parametrize(("name", "tokens"), [("vit", 10), ("deit", 11)])
def test_float32_is_that_of_transformers(name: str, tokens: int) -> None:
    network = load_model(str(FIXTURES / name))
    assert (network.family, network.max_positions, network.causal) == (name, tokens, False)
    weights = load_checkpoint(FIXTURES / name / "model.safetensors", network).weights
    image, expected = example(name)
    np.testing.assert_allclose(floating.encode(image, weights), expected, atol=2e-5)


@pytest.mark.parametrize("name", ["vit", "deit"])
def test_integers_are_near_float32(name: str, tmp_path: Path) -> None:
    network = load_model(str(FIXTURES / name))
    weights = load_checkpoint(FIXTURES / name / "model.safetensors", network).weights
    image, expected = example(name)
    images = np.random.default_rng(1).standard_normal((8, *image.shape)).astype(np.float32)
    model = quantise(weights, [*images])
    save_quantised(tmp_path / "q", model)
    again = load_quantised(tmp_path / "q")
    outputs = reference.run(again, again.embed(image))[-1]
    np.testing.assert_array_equal(outputs, reference.run(model, model.embed(image))[-1])
    found = floating.close(again.real(outputs), again.closing, network)
    cosine = (found * expected).sum() / (np.linalg.norm(found) * np.linalg.norm(expected))
    assert cosine > 0.998


def test_a_published_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GOOGLE))
    network = load_network(str(tmp_path))
    assert (network.max_positions, network.channels, network.image_size, network.patch_size) == (197, 3, 224, 16)
    assert network.layer_weights == 4 * 768**2 + 2 * 768 * 3072


def test_an_image_of_another_size() -> None:
    network = load_model(str(FIXTURES / "vit"))
    weights = load_checkpoint(FIXTURES / "vit" / "model.safetensors", network).weights
    with pytest.raises(InputError) as error:
        floating.encode(np.zeros((3, 12, 8)), weights)
    assert str(error.value) == "image for model 'vit' must be 3 x 12 x 12, not 3 x 12 x 8"
