"""Weights made fit for integers compute what they did."""

from pathlib import Path

import numpy as np
import pytest

from hdl.model.architecture import HeadNorm, Norm
from hdl.model.calibrate import calibrate
from hdl.model.checkpoint import load_checkpoint
from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.suited import is_suited, suited
from hdl.model.weights import Weights

from .gated_models import TOKENS, write_gated
from .networks import SMALL_BERT, SMALL_GPT2, texts


def loaded(model: str, folder: Path) -> Weights:
    write_gated(model, folder)
    return load_checkpoint(folder / "model.safetensors", load_model(str(folder))).weights


@pytest.mark.parametrize("model", ["llama2", "llama3", "biased", "qwen2", "qwen3"])
def test_the_network_is_the_same(model: str, tmp_path: Path) -> None:
    weights = loaded(model, tmp_path)
    ranges = calibrate(weights, texts(weights.network, [30, 20]))
    found = suited(weights, ranges)
    expected = FloatDecoder(weights).extend(TOKENS)["logits"]
    np.testing.assert_allclose(FloatDecoder(found).extend(TOKENS)["logits"], expected, atol=2e-5)
    for norm in weights.network.layer.of(Norm):
        gamma = found.layers[1][norm.name].gamma
        assert (gamma == 1).all() or isinstance(norm, HeadNorm)


def test_a_massive_feature_is_spread(tmp_path: Path) -> None:
    weights = loaded("llama3", tmp_path)
    weights.tables["word"][3, 5] = 4000
    ranges = calibrate(weights, [[3, 4, 5, 6]])
    found = calibrate(suited(weights, ranges), [[3, 4, 5, 6]])
    assert ranges[0]["tokens"].max() == 4000
    assert found[0]["tokens"].max() < 1.1 * 4000 / np.sqrt(48)


def test_keys_are_balanced_with_queries(tmp_path: Path) -> None:
    weights = loaded("llama3", tmp_path)
    weights.layers[0]["plain_keys"].weight[6:8] *= 30
    calibration = texts(weights.network, [30, 20])
    before = calibrate(weights, calibration)
    after = calibrate(suited(weights, before), calibration)

    def span(keys: np.ndarray) -> float:
        return float(keys.max() / np.median(keys))

    assert span(after[0]["keys"]) < 0.4 * span(before[0]["keys"])


def test_networks_with_other_norms_are_left_alone(tmp_path: Path) -> None:
    assert not is_suited(SMALL_GPT2)
    assert not is_suited(SMALL_BERT)
    assert is_suited(loaded("llama2", tmp_path).network)
