"""The relatives of LLaMA: their configurations and checkpoints, and the logits that transformers computes."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hdl.model.families as package
from hdl.errors import InputError
from hdl.model.architecture import Graph, Norm
from hdl.model.checkpoint import load_checkpoint
from hdl.model.configuration import Configuration
from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.perplexity import compare
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.quantisedfile import load_quantised, save_quantised
from hdl.model.reference import Decoder, saturations
from hdl.model.weights import Weights
from hdl.notices import Notice

from .gated_models import FOLDER, MODELS, PROMPT, TOKENS, build, write_gated
from .networks import SMALL_GPT2, texts

LOGITS = dict(np.load(FOLDER / "logits.npz"))


def assert_agrees(name: str, folder: Path, expected: np.ndarray) -> None:
    write_gated(name, folder)
    weights = load_checkpoint(folder / "model.safetensors", load_model(str(folder))).weights
    found = FloatDecoder(weights).extend(TOKENS)["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    decoder = FloatDecoder(weights)
    parts = [TOKENS[:PROMPT], *([token] for token in TOKENS[PROMPT:])]
    found = np.concatenate([decoder.extend(part)["logits"] for part in parts])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_float32_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    assert_agrees(name, tmp_path, LOGITS[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_what_transformers_computes_now(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert_agrees(name, tmp_path, build(name)[1])


def config(**change: Any) -> dict[str, Any]:
    return json.loads((FOLDER / "llama2.json").read_text())["config"] | change


def loaded(**change: Any) -> tuple[Network, list[str]]:
    """The network of a configuration, and what is told of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = Configuration.of(config(**change), "c.json").network("c")
    assert {one.category for one in told} <= {Notice}
    return found, [str(one.message) for one in told]


def test_rotary_positions_of_transformers_4() -> None:
    old = {"rope_parameters": None, "rope_theta": 5000.0}
    network, told = loaded(**old)
    assert (network.rotary_base, network.rotary_factor, network.rotary_positions, told) == (5000.0, 1.0, 0, [])
    network, told = loaded(**old, rope_scaling={"type": "linear", "factor": 4})
    assert (network.rotary_factor, network.rotary_positions, told) == (4.0, 0, [])
    scaling = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3"}
    network, _ = loaded(**old, rope_scaling=scaling | {"original_max_position_embeddings": 8192})
    assert (network.rotary_low, network.rotary_high, network.rotary_positions) == (1.0, 4.0, 8192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rope_scaling": {"type": "yarn", "factor": 4.0}},
            "rope_scaling in c.json must be of the type default, linear, llama3, not 'yarn'",
        ),
        (
            {"rope_scaling": {"type": "linear"}},
            "rope_scaling in c.json lacks 'factor', which the type 'linear' needs",
        ),
        ({"rope_scaling": "linear"}, "rope_scaling in c.json must be an object of numbers, not 'linear'"),
        (
            {"rope_scaling": {"type": "linear", "factor": 0.5}},
            "rotary_factor of model 'c' must be a number from 1 to 1e+06, not 0.5",
        ),
        (
            {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            "partial_rotary_factor in c.json must be 1 or left out, not 0.5; "
            "it makes another network than a plain LLaMA",
        ),
        (
            {"hidden_act": "relu"},
            "activation of model 'c' must be gelu or gelu_new or silu, not 'relu'",
        ),
        ({"sliding_window": 0}, "sliding_window in c.json must be a whole number of at least 1, not 0"),
        (
            {"use_sliding_window": True},
            "use_sliding_window in c.json must be false or left out, not true; "
            "it makes another network than a plain LLaMA",
        ),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        loaded(**change)
    assert str(error.value) == message


def test_a_sliding_window_is_the_longest_text() -> None:
    network, told = loaded(model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=24)
    assert network.max_positions == 24
    assert told == ["c.json has a sliding window of 24 tokens; texts have at most as many, not 32"]
    for unused in ({"sliding_window": 32}, {"sliding_window": 24, "use_sliding_window": False}):
        network, told = loaded(**unused)
        assert (network.max_positions, told) == (32, [])


def test_heads_that_are_normalised(tmp_path: Path) -> None:
    write_gated("qwen3", tmp_path)
    graph = load_model(str(tmp_path)).layer
    assert [(norm.name, getattr(norm, "heads", 1), norm.factors) for norm in graph.of(Norm)] == [
        ("norm1", 1, 48), ("normed_keys", 1, 64), ("normed_queries", 8, 64), ("norm2", 1, 48)
    ]  # fmt: skip
    assert isinstance(graph, Graph)


def test_a_family_is_one_file() -> None:
    root = Path(package.__file__).parents[2]
    name = "qwen3"
    files = [file for file in root.rglob("*.py") if name in file.read_text().lower()]
    assert [file.name for file in files] == [f"{name}.py"]
    assert len(files[0].read_text().splitlines()) <= 120


def quantised(name: str, folder: Path, **options: Any) -> tuple[Weights, Quantised]:
    write_gated(name, folder)
    weights = load_checkpoint(folder / "model.safetensors", load_model(str(folder))).weights
    return weights, quantise(weights, texts(weights.network, [30] * 8), **options)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_integers_are_near_float32(name: str, static: bool, tmp_path: Path) -> None:
    weights, model = quantised(name, tmp_path, static=static)
    found = {"integers": lambda ids: Decoder(model).prefill(ids).logits * model.logit_scale}
    expected = lambda ids: FloatDecoder(weights).extend(ids)["logits"]  # noqa: E731
    fits = compare(expected, found, texts(weights.network, [30] * 4, seed=2))
    assert fits["integers"].divergence < 0.01
    assert fits["integers"].perplexity == pytest.approx(fits[""].perplexity, rel=0.03)


def test_integers_in_parts_are_those_of_the_whole_and_go_through_a_file(tmp_path: Path) -> None:
    _, model = quantised("qwen3", tmp_path)
    expected = Decoder(model).prefill(TOKENS).logits
    save_quantised(tmp_path / "q", model)
    decoder = Decoder(load_quantised(tmp_path / "q"))
    parts = [decoder.prefill(TOKENS[:PROMPT]).logits, *(decoder.step(token).logits for token in TOKENS[PROMPT:])]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_a_massive_first_token(tmp_path: Path) -> None:
    """One of its features is 4,000 times the median, and the others' predictions stay."""
    write_gated("llama2", tmp_path)
    weights = load_checkpoint(tmp_path / "model.safetensors", load_model(str(tmp_path))).weights
    table = weights.tables["word"]
    table[0, 5] = 4000 * np.median(np.abs(table))
    calibration = [[0, *ids] for ids in texts(weights.network, [29] * 8)]
    model = quantise(weights, calibration)
    found = {"integers": lambda ids: Decoder(model).prefill(ids).logits * model.logit_scale}
    expected = lambda ids: FloatDecoder(weights).extend(ids)["logits"]  # noqa: E731
    others = [[0, *ids] for ids in texts(weights.network, [29] * 4, seed=2)]
    assert compare(expected, found, others)["integers"].divergence < 0.02
    for ids in calibration:
        step = Decoder(model).prefill(ids)
        for (graph, _), trace in zip(model.stages, (*step.layers, step.head), strict=True):
            assert saturations(model.network, graph, trace) == {}


def test_saturated_values_are_counted() -> None:
    graph = SMALL_GPT2.layer
    trace = {"residual1": np.array([32767, -32768, 32766]), "keys": np.array([127]), "activation": np.array([0, 65535])}
    assert saturations(SMALL_GPT2, graph, trace) == {"residual1": 2, "activation": 1}


def test_products_of_gates_may_be_four_times_those_of_calibration(tmp_path: Path) -> None:
    _, model = quantised("llama2", tmp_path)
    later = np.zeros(2)
    for ids in texts(model.network, [30] * 8):
        traces = Decoder(model).prefill(ids).layers
        later = np.maximum(later, [np.abs(trace["gated"][1:]).max() for trace in traces])
    # The shift is a whole number, so there may be twice as much room.
    assert (later < 1.05 * 32767 / 4).all()
    assert (later > 0.3 * 32767 / 8).all()
