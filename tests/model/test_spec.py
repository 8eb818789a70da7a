"""Models by name and by file, and every way in which that can go wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hdl.errors import InputError
from hdl.model.load import load_model, presets
from hdl.model.network import Network

from .networks import bert, gpt2

CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 32,
    "vocab_size": 100,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
FIELDS = {
    "layers": 3,
    "hidden": 64,
    "heads": 4,
    "intermediate": 128,
    "max_positions": 32,
    "vocabulary": 100,
    "token_types": 2,
    "layer_norm_eps": 1e-12,
    "activation": "gelu",
}
GPT2_CONFIG = {
    "model_type": "gpt2",
    "n_layer": 3,
    "n_embd": 64,
    "n_head": 4,
    "n_positions": 32,
    "vocab_size": 100,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}
ESTIMATED = "model {!r} must be of the family bert or gpt2 to be built, not {}; estimate knows it"
GPT2_FIELDS = {name: value for name, value in FIELDS.items() if name != "token_types"} | {
    "intermediate": 256,
    "layer_norm_eps": 1e-5,
    "activation": "gelu_new",
}


def refused(name: str | Path, kind: type[Network] = Network) -> str:
    with pytest.raises(InputError) as error:
        load_model(str(name), kind)
    return str(error.value)


def written(folder: Path, name: str, contents: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(contents) if path.suffix == ".json" else yaml.safe_dump(contents))
    return path


def test_presets_are_the_published_models() -> None:
    assert presets() == ("bert-base", "bert-large", "minilm-l6", "tiny-bert")
    base, large, minilm = (load_model(name) for name in presets()[:3])
    assert (base.layers, base.hidden, base.heads, base.intermediate) == (12, 768, 12, 3072)
    assert (large.layers, large.hidden, large.heads, large.intermediate) == (24, 1024, 16, 4096)
    assert (minilm.layers, minilm.hidden, minilm.heads, minilm.intermediate) == (6, 384, 12, 1536)
    assert base.head_size == 64
    assert base.layer_weights == 7_077_888
    assert all(load_model(name).name == name for name in presets())


def test_configuration_of_hugging_face_by_file_and_by_folder(tmp_path: Path) -> None:
    path = written(tmp_path, "config.json", CONFIG)
    expected = bert(name=tmp_path.name, **FIELDS)
    assert load_model(str(path)) == expected
    assert load_model(str(tmp_path)) == expected
    assert load_model(str(written(tmp_path, "own.json", CONFIG))).name == "own"


def test_name_of_a_model_can_be_printed(tmp_path: Path) -> None:
    folder = tmp_path / "[red]a\nb\x1b"
    folder.mkdir()
    written(folder, "config.json", CONFIG)
    assert load_model(str(folder)).name == "[red]a_b_"
    assert load_model(str(written(tmp_path, "x\ny.yaml", FIELDS))).name == "x_y"


def test_yaml_file_like_a_preset(tmp_path: Path) -> None:
    assert load_model(str(written(tmp_path, "mine.yaml", FIELDS))) == bert(name="mine", **FIELDS)


def test_unknown_name() -> None:
    known = "known: bert-base, bert-large, minilm-l6, tiny-bert, or a path to a config.json"
    assert refused("bert-bsae") == f"model 'bert-bsae' is unknown, did you mean 'bert-base'?; {known}"
    assert refused("resnet") == f"model 'resnet' is unknown; {known}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.json"
    assert refused(missing) == f"model file {missing} cannot be read: No such file or directory"
    assert refused(tmp_path) == f"model file {tmp_path / 'config.json'} cannot be read: No such file or directory"
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\xff")
    assert refused(binary) == f"model file {binary} must be text in UTF-8, but has byte 0xff in line 1; convert it"
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(1_000_001))
    assert refused(weights) == (
        f"model file {weights} must be a config.json or YAML of at most 1,000,000 bytes, not 1,000,001; "
        "give the config.json beside the weights"
    )
    assert refused("a" * 5000) == f"model file '{'a' * 37}...{'a' * 38}' cannot be read: File name too long"


def test_files_that_are_no_json_or_yaml(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    message = refused(tmp_path)
    assert message.startswith(f"model file {tmp_path / 'config.json'} must be valid JSON: Expecting property name")
    (tmp_path / "a.yaml").write_text("a: [")
    expected = "expected the node content, but found '<stream end>' (line 1, column 5)"
    assert refused(tmp_path / "a.yaml") == f"model file {tmp_path / 'a.yaml'} must be valid YAML: {expected}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "family of model 'c' must be bert, not 'llama'"),
        ({"model_type": "roberta"}, "model_type in PATH must be bert, gpt2, opt or llama, not 'roberta'"),
        ({"vocab_size": None}, "PATH lacks the field 'vocab_size'"),
        ({"hidden_act": "relu"}, "activation of model 'c' must be gelu, the only one supported, not 'relu'"),
        ({"num_attention_heads": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        ({"num_hidden_layers": 0}, "layers of model 'c' must be a whole number of at least 1, not 0"),
        ({"num_hidden_layers": True}, "layers of model 'c' must be a whole number of at least 1, not true"),
        (
            {"num_hidden_layers": 100_000},
            "layers of model 'c' must be at most 256, not 100000: the deepest published models have about 130",
        ),
        ({"hidden_size": "64"}, "hidden of model 'c' must be a whole number of at least 1, not '64'"),
        ({"intermediate_size": 5000}, "intermediate of model 'c' must be at most 4096, not 5000"),
        ({"layer_norm_eps": 1.5}, "layer_norm_eps of model 'c' must be a number from 0 to 1.0, not 1.5"),
        ({"layer_norm_eps": "tiny"}, "layer_norm_eps of model 'c' must be a number from 0 to 1.0, not 'tiny'"),
        ({"layer_norm_eps": 2}, "layer_norm_eps of model 'c' must be a number from 0 to 1.0, not 2"),
        ({"layer_norm_eps": True}, "layer_norm_eps of model 'c' must be a number from 0 to 1.0, not true"),
        ({"hidden_act": ["gelu"]}, "activation of model 'c' must be gelu, the only one supported, not ['gelu']"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "c.json", CONFIG | change)
    assert refused(path) == message.replace("PATH", str(path))


def test_configurations_that_are_incomplete(tmp_path: Path) -> None:
    path = written(tmp_path, "c.json", {name: value for name, value in CONFIG.items() if name != "hidden_size"})
    assert refused(path) == f"{path} lacks the field 'hidden_size'"


def test_yaml_with_wrong_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "m.yaml", FIELDS | {"hiden": 64})
    assert refused(path) == f"{path} has an unknown field 'hiden', did you mean 'hidden'?"
    path = written(tmp_path, "m.yaml", {name: value for name, value in FIELDS.items() if name != "heads"})
    assert refused(path) == f"{path} lacks the field 'heads'"
    path = written(tmp_path, "m.yaml", [1, 2])
    assert refused(path) == f"{path} must be a mapping of fields to values, not [1, 2]"


def test_decoders_are_the_published_models() -> None:
    assert presets(Network) == ("gpt2", "gpt2-large", "gpt2-medium", "gpt2-xl", "tiny-gpt2")
    assert set(presets()) == {*presets(Network), *presets(Network)}
    shapes = {name: load_model(name) for name in presets(Network)}
    found = {name: (spec.layers, spec.hidden, spec.heads, spec.intermediate) for name, spec in shapes.items()}
    assert found == {
        "gpt2": (12, 768, 12, 3072),
        "gpt2-medium": (24, 1024, 16, 4096),
        "gpt2-large": (36, 1280, 20, 5120),
        "gpt2-xl": (48, 1600, 25, 6400),
        "tiny-gpt2": (4, 128, 4, 512),
    }
    assert {spec.head_size for name, spec in shapes.items() if name != "tiny-gpt2"} == {64}
    assert all(load_model(name) == spec for name, spec in shapes.items())


def test_configurations_of_gpt2(tmp_path: Path) -> None:
    path, expected = written(tmp_path, "c.json", GPT2_CONFIG), gpt2(name="c", **GPT2_FIELDS)
    assert load_model(str(path), Network) == load_model(str(path), Network) == expected
    given = {"n_inner": 128, "layer_norm_epsilon": 1e-6, "tie_word_embeddings": None}
    path = written(tmp_path, "c.json", GPT2_CONFIG | given)
    own = gpt2(name="c", **GPT2_FIELDS | {"intermediate": 128, "layer_norm_eps": 1e-6})
    assert load_model(str(path), Network) == own


def test_yaml_of_gpt2(tmp_path: Path) -> None:
    path = written(tmp_path, "m.yaml", {"family": "gpt2"} | GPT2_FIELDS)
    assert load_model(str(path), Network) == gpt2(name="m", **GPT2_FIELDS)
    assert refused(path) == "family of model 'm' must be bert, not 'gpt2'"
    path = written(tmp_path, "m.yaml", {"family": "opt"} | GPT2_FIELDS)
    assert refused(path, Network) == ESTIMATED.format("m", "opt")
    path = written(tmp_path, "m.yaml", {"family": ["gpt2"]} | GPT2_FIELDS)
    assert refused(path, Network) == "family of model 'm' must be bert or gpt2, not ['gpt2']"
    assert refused("gpt2") == "family of model 'gpt2' must be bert, not 'gpt2'"
    assert refused("tiny-bert", Network) == "family of model 'tiny-bert' must be gpt2, not 'bert'"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"} | CONFIG, "family of model 'c' must be gpt2, not 'bert'"),
        (
            {"activation_function": "gelu"},
            "activation of model 'c' must be gelu_new, the only one supported, not 'gelu'",
        ),
        ({"n_layer": None}, "PATH lacks the field 'n_layer'"),
        ({"n_embd": 8192}, "hidden of model 'c' must be at most 4096, not 8192"),
        ({"n_inner": 16385}, "intermediate of model 'c' must be at most 16384, not 16385"),
    ],
)
def test_configurations_of_gpt2_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "c.json", GPT2_CONFIG | change)
    assert refused(path, Network) == message.replace("PATH", str(path))


@pytest.mark.parametrize("key", ["n_layer", "n_embd", "n_head", "n_positions", "vocab_size"])
def test_numbers_of_a_shape_are_bounded(tmp_path: Path, key: str) -> None:
    message = refused(written(tmp_path, "c.json", GPT2_CONFIG | {key: 10**12}), Network)
    assert re.fullmatch(r"\w+ of model 'c' must be at most [\d,]+, not 1000000000000: .*(published|BERT).*", message)


def test_models_that_are_estimated_only(tmp_path: Path) -> None:
    shape = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 32}
    shape |= {"vocab_size": 100, "intermediate_size": 96}
    path = written(tmp_path, "c.json", shape | {"model_type": "llama"})
    assert refused(path, Network) == ESTIMATED.format("c", "llama")
    assert refused("opt-125m", Network) == ESTIMATED.format("opt-125m", "opt")
    fields = {name: value for name, value in GPT2_FIELDS.items() if name not in ("layer_norm_eps", "activation")}
    fields |= {"family": "gpt2", "kv_heads": 4, "head_size": 16, "gated": False, "tied": True}
    path = written(tmp_path, "m.yaml", fields)
    assert refused(path, Network) == (
        f"{path} has the fields of a network for estimates; to be built it needs those of a preset, "
        "such as layer_norm_eps and activation"
    )


def test_epsilon_that_is_a_whole_number_or_written_with_an_exponent(tmp_path: Path) -> None:
    spec = load_model(str(written(tmp_path, "c.json", CONFIG | {"layer_norm_eps": 0})))
    assert (type(spec.norm_eps), spec.norm_eps) == (float, 0.0)
    path = tmp_path / "m.yml"
    path.write_text(yaml.safe_dump(FIELDS).replace("1.0e-12", "1e-12"))
    assert "layer_norm_eps: 1e-12\n" in path.read_text()
    assert load_model(str(path)) == bert(name="m", **FIELDS)


@pytest.mark.parametrize("other", ["gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"])
def test_other_names_of_the_tanh_form(tmp_path: Path, other: str) -> None:
    path = written(tmp_path, "c.json", GPT2_CONFIG | {"activation_function": other})
    assert load_model(str(path), Network) == gpt2(name="c", **GPT2_FIELDS)


def test_other_name_of_the_exact_form(tmp_path: Path) -> None:
    expected = bert(name="c", **FIELDS)
    assert load_model(str(written(tmp_path, "c.json", CONFIG | {"hidden_act": "gelu_python"}))) == expected
    assert load_model(str(written(tmp_path, "c.yaml", FIELDS | {"activation": "gelu_python"}))) == expected


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CONFIG).encode())
    assert load_model(str(path)) == bert(name="c", **FIELDS)
