"""Networks by name and by file, and every way in which that can go wrong."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hdl.errors import InputError
from hdl.model.load import load_model, load_network, networks, presets
from hdl.model.network import Network

from .networks import bert, gpt2

FIELDS: dict[str, dict[str, Any]] = {
    "bert": {"intermediate": 128, "token_types": 2, "norm_eps": 1e-12, "activation": "gelu"},
    "gpt2": {"intermediate": 256, "norm_eps": 1e-5, "activation": "gelu_new"},
    "opt": {"intermediate": 96, "tied": True},
    "llama": {
        "intermediate": 96,
        "kv_heads": 2,
        "head_size": 24,
        "tied": False,
        "norm_eps": 1e-6,
        "activation": "silu",
        "rotary_base": 10000.0,
    },
}
COMMON = {"layers": 3, "hidden": 64, "heads": 4, "max_positions": 32, "vocabulary": 100}
FIELDS = {family: COMMON | own for family, own in FIELDS.items()}
"""Of a network of each family, as YAML has them."""

SHARED = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4}
SHARED |= {"max_position_embeddings": 32, "vocab_size": 100}
BERT = SHARED | {"model_type": "bert", "intermediate_size": 128, "type_vocab_size": 2}
BERT |= {"layer_norm_eps": 1e-12, "hidden_act": "gelu"}
GPT2 = {"model_type": "gpt2", "n_layer": 3, "n_embd": 64, "n_head": 4, "n_positions": 32, "vocab_size": 100}
GPT2 |= {"layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
OPT = SHARED | {"model_type": "opt", "ffn_dim": 96}
LLAMA = SHARED | {"model_type": "llama", "intermediate_size": 96, "rms_norm_eps": 1e-6, "hidden_act": "silu"}
LLAMA |= {"rope_theta": 10000.0}
CONFIGS: list[dict[str, Any]] = [BERT, GPT2, OPT, LLAMA]

LOADED = (
    "bert-base, bert-large, gpt2, gpt2-large, gpt2-medium, gpt2-xl, llama-2-7b, llama-3.2-1b, minilm-l6, smollm2-1.7b, "
    "smollm2-135m, smollm2-360m, tiny-bert, tiny-gpt2, tinyllama-1.1b"
)
ALL = (
    "bert-base, bert-large, gpt2, gpt2-large, gpt2-medium, gpt2-xl, llama-2-7b, llama-3.2-1b, minilm-l6, "
    "opt-1.3b, opt-125m, opt-6.7b, smollm2-1.7b, smollm2-135m, smollm2-360m, tiny-bert, tiny-gpt2, tinyllama-1.1b"
)
FAMILIES = "bert, gpt2, llama, mistral, qwen2, qwen3, vit or deit"
ESTIMATED = f"model {{!r}} must be of the family {FAMILIES}, not {{}}; estimate knows it"


def refused(name: str | Path, load: Callable[[str], Network] = load_network) -> str:
    with pytest.raises(InputError) as error:
        load(str(name))
    return str(error.value)


def written(folder: Path, name: str, contents: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(contents) if path.suffix == ".json" else yaml.safe_dump(contents))
    return path


def imported(folder: Path, config: dict[str, Any]) -> Network:
    return load_network(str(written(folder, "c.json", config)))


def test_built_in_networks() -> None:
    assert ", ".join(networks()) == ALL
    assert ", ".join(presets()) == LOADED
    assert all(load_network(name).name == name for name in networks())
    assert all(load_model(name) == load_network(name) for name in presets())


def test_encoders_are_the_published_models() -> None:
    base, large, minilm = (load_network(name) for name in ("bert-base", "bert-large", "minilm-l6"))
    assert (base.layers, base.hidden, base.heads, base.intermediate) == (12, 768, 12, 3072)
    assert (large.layers, large.hidden, large.heads, large.intermediate) == (24, 1024, 16, 4096)
    assert (minilm.layers, minilm.hidden, minilm.heads, minilm.intermediate) == (6, 384, 12, 1536)
    assert base.head_size == 64
    assert base.layer_weights == 7_077_888


def test_decoders_are_the_published_models() -> None:
    shapes = {name: load_network(name) for name in presets() if "gpt2" in name}
    found = {name: (own.layers, own.hidden, own.heads, own.intermediate) for name, own in shapes.items()}
    assert found == {
        "gpt2": (12, 768, 12, 3072),
        "gpt2-medium": (24, 1024, 16, 4096),
        "gpt2-large": (36, 1280, 20, 5120),
        "gpt2-xl": (48, 1600, 25, 6400),
        "tiny-gpt2": (4, 128, 4, 512),
    }
    assert {own.head_size for name, own in shapes.items() if name != "tiny-gpt2"} == {64}


def test_configuration_by_file_and_by_folder(tmp_path: Path) -> None:
    path = written(tmp_path, "config.json", BERT)
    expected = bert(name=tmp_path.name, **FIELDS["bert"])
    assert load_network(str(path)) == load_network(str(tmp_path)) == expected
    assert load_network(str(written(tmp_path, "own.json", BERT))).name == "own"


def test_name_of_a_model_can_be_printed(tmp_path: Path) -> None:
    folder = tmp_path / "[red]a\nb\x1b"
    folder.mkdir()
    written(folder, "config.json", BERT)
    assert load_network(str(folder)).name == "[red]a_b_"
    assert load_network(str(written(tmp_path, "x\ny.yaml", {"family": "bert"} | FIELDS["bert"]))).name == "x_y"


@pytest.mark.parametrize("family", FIELDS)
def test_yaml_file_like_a_preset(tmp_path: Path, family: str) -> None:
    path = written(tmp_path, "mine.yaml", {"family": family} | FIELDS[family])
    assert load_network(str(path)) == Network.of("mine", family, FIELDS[family])


@pytest.mark.parametrize(("load", "known"), [(load_network, ALL), (load_model, LOADED)], ids=["any", "built"])
def test_unknown_name(load: Callable[[str], Network], known: str) -> None:
    known = f"known: {known}, or a path to a config.json"
    assert refused("bert-bsae", load) == f"model 'bert-bsae' is unknown, did you mean 'bert-base'?; {known}"
    assert refused("gtp2", load) == f"model 'gtp2' is unknown, did you mean 'gpt2'?; {known}"
    assert refused("resnet", load) == f"model 'resnet' is unknown; {known}"


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
    ("config", "message"),
    [
        (
            BERT | {"model_type": "roberta"},
            "model_type in PATH must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not 'roberta'",
        ),
        (
            GPT2 | {"model_type": "mixtral"},
            "model_type in PATH must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not 'mixtral'",
        ),
        (BERT | {"vocab_size": None}, "PATH lacks the field 'vocab_size'"),
        (GPT2 | {"n_layer": None}, "PATH lacks the field 'n_layer'"),
        (BERT | {"hidden_act": "relu"}, "activation of model 'c' must be gelu or gelu_new or silu, not 'relu'"),
        (BERT | {"hidden_act": ["gelu"]}, "activation of model 'c' must be a name, not ['gelu']"),
        (GPT2 | {"activation_function": "elu"}, "activation of model 'c' must be gelu or gelu_new or silu, not 'elu'"),
        (BERT | {"num_attention_heads": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        (GPT2 | {"n_head": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        (LLAMA | {"num_attention_heads": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        (BERT | {"num_hidden_layers": 0}, "layers of model 'c' must be a whole number of at least 1, not 0"),
        (GPT2 | {"n_layer": 0}, "layers of model 'c' must be a whole number of at least 1, not 0"),
        (BERT | {"num_hidden_layers": True}, "layers of model 'c' must be a whole number of at least 1, not true"),
        (
            BERT | {"num_hidden_layers": 100_000},
            "layers of model 'c' must be at most 256, not 100000: the deepest published models have about 130",
        ),
        (
            LLAMA | {"num_hidden_layers": 257},
            "layers of model 'c' must be at most 256, not 257: the deepest published models have about 130",
        ),
        (BERT | {"hidden_size": "64"}, "hidden of model 'c' must be a whole number of at least 1, not '64'"),
        (GPT2 | {"n_embd": "64"}, "hidden of model 'c' must be a whole number of at least 1, not '64'"),
        (GPT2 | {"n_inner": 1.5}, "intermediate of model 'c' must be a whole number of at least 1, not 1.5"),
        (BERT | {"type_vocab_size": 0}, "token_types of model 'c' must be a whole number of at least 1, not 0"),
        (BERT | {"layer_norm_eps": 1.5}, "norm_eps of model 'c' must be a number from 0 to 1, not 1.5"),
        (BERT | {"layer_norm_eps": "tiny"}, "norm_eps of model 'c' must be a number from 0 to 1, not 'tiny'"),
        (BERT | {"layer_norm_eps": 2}, "norm_eps of model 'c' must be a number from 0 to 1, not 2"),
        (BERT | {"layer_norm_eps": True}, "norm_eps of model 'c' must be a number from 0 to 1, not true"),
        (LLAMA | {"tie_word_embeddings": 1}, "tied of model 'c' must be true or false, not 1"),
        (LLAMA | {"num_key_value_heads": 3}, "kv_heads of model 'c' must be a divisor of its heads (4), not 3"),
        (LLAMA | {"num_key_value_heads": 0}, "kv_heads of model 'c' must be a whole number of at least 1, not 0"),
        (LLAMA | {"head_dim": "16"}, "head_size of model 'c' must be a whole number of at least 1, not '16'"),
        (
            OPT | {"do_layer_norm_before": False},
            "do_layer_norm_before in PATH must be true or left out, not false; "
            "it makes another network than a plain OPT",
        ),
        (OPT | {"word_embed_proj_dim": 32}, "word_embed_proj_dim in PATH must be 64, the model's hidden size, not 32"),
        ([1], "PATH must be a Hugging Face configuration, a JSON object, not [1]"),
        (SHARED, "PATH must be a Hugging Face configuration with a model_type; take the file beside the weights"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, config: Any, message: str) -> None:
    path = written(tmp_path, "c.json", config)
    assert refused(path) == message.replace("PATH", str(path))


VIT = {"model_type": "vit", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4}
VIT |= {"intermediate_size": 128, "image_size": 32, "patch_size": 8}


@pytest.mark.parametrize(
    ("change", "requirement"),
    [
        ({"patch_size": 0}, "patch_size of model 'c' must be a whole number of at least 1, not 0"),
        ({"patch_size": 5}, "patch_size of model 'c' must be a divisor of its image_size (32), not 5"),
        ({"image_size": "32"}, "image_size of model 'c' must be a whole number of at least 1, not '32'"),
        ({"num_channels": -1}, "channels of model 'c' must be a whole number of at least 1, not -1"),
    ],
)
@pytest.mark.filterwarnings("ignore::hdl.notices.Notice")
def test_images_that_are_no_whole_patches(tmp_path: Path, change: dict[str, Any], requirement: str) -> None:
    assert imported(tmp_path, VIT).max_positions == 17
    assert refused(written(tmp_path, "c.json", VIT | change)) == requirement


@pytest.mark.parametrize("key", ["n_layer", "n_embd", "n_head", "n_positions", "vocab_size", "n_inner"])
def test_numbers_of_a_shape_are_bounded(tmp_path: Path, key: str) -> None:
    message = refused(written(tmp_path, "c.json", GPT2 | {key: 10**12}))
    assert re.fullmatch(r"\w+ of model 'c' must be at most [\d,]+, not 1000000000000: .*(published|BERT).*", message)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("bert", {"hiden": 64}, "PATH has an unknown field 'hiden', did you mean 'hidden'?"),
        ("llama", {"hiden": 64}, "PATH has an unknown field 'hiden', did you mean 'hidden'?"),
        ("gpt2", {"layer_norm_eps": 1e-5}, "PATH has an unknown field 'layer_norm_eps', did you mean 'norm_eps'?"),
        ("llama", {"gated": True}, "PATH has an unknown field 'gated', did you mean 'tied'?"),
        (
            "llama",
            {"family": "mixtral"},
            "family of model 'm' must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not 'mixtral'",
        ),
        (
            "gpt2",
            {"family": ["gpt2"]},
            "family of model 'm' must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not ['gpt2']",
        ),
        (
            "gpt2",
            {"family": None},
            "family of model 'm' must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not null",
        ),
        ("opt", {"tied": "yes"}, "tied of model 'm' must be true or false, not 'yes'"),
        ("llama", {"layers": True}, "layers of model 'm' must be a whole number of at least 1, not true"),
        (
            "llama",
            {"vocabulary": 1 << 21},
            "vocabulary of model 'm' must be at most 1,048,576, not 2097152: the largest published "
            "have about 900,000 words",
        ),
        ("llama", {"family": "gpt2"}, "PATH has an unknown field 'head_size', did you mean 'heads'?"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, family: str, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "m.yaml", {"family": family} | FIELDS[family] | change)
    assert refused(path) == message.replace("PATH", str(path))


@pytest.mark.parametrize(
    ("family", "lacking"), [("bert", "heads"), ("gpt2", "norm_eps"), ("opt", "tied"), ("llama", "kv_heads")]
)
def test_yaml_that_is_incomplete(tmp_path: Path, family: str, lacking: str) -> None:
    fields = {"family": family} | FIELDS[family]
    path = written(tmp_path, "m.yaml", {name: value for name, value in fields.items() if name != lacking})
    assert refused(path) == f"{path} lacks the field {lacking!r}"


def test_yaml_without_a_family_or_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "m.yaml", FIELDS["bert"])
    assert (
        refused(path)
        == f"{path} lacks the field 'family', which must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit"
    )
    path = written(tmp_path, "m.yaml", [1, 2])
    assert refused(path) == f"{path} must be a mapping of fields to values, not [1, 2]"


def test_configuration_of_gpt2(tmp_path: Path) -> None:
    expected = gpt2(name="c", **FIELDS["gpt2"])
    assert imported(tmp_path, GPT2) == expected
    assert imported(tmp_path, GPT2 | {"n_inner": None, "add_cross_attention": False}) == expected
    assert imported(tmp_path, GPT2 | {"tie_word_embeddings": None}) == expected
    found = imported(tmp_path, GPT2 | {"n_inner": 128, "layer_norm_epsilon": 1e-6, "tie_word_embeddings": None})
    assert found == gpt2(name="c", **FIELDS["gpt2"] | {"intermediate": 128, "norm_eps": 1e-6})


def test_configuration_of_opt(tmp_path: Path) -> None:
    network = imported(tmp_path, OPT)
    assert network == imported(tmp_path, OPT | {"word_embed_proj_dim": 64, "do_layer_norm_before": True})
    assert network == Network.of("c", "opt", FIELDS["opt"])
    assert (network.family, network.layers, network.hidden, network.intermediate) == ("opt", 3, 64, 96)
    assert (network.heads, network.kv_heads, network.head_size) == (4, 4, 16)
    assert (network.max_positions, network.vocabulary, network.tied, network.gated) == (32, 100, True, False)
    assert not imported(tmp_path, OPT | {"tie_word_embeddings": False}).tied


def test_configuration_of_llama(tmp_path: Path) -> None:
    network = imported(tmp_path, LLAMA)
    assert (network.heads, network.kv_heads, network.head_size) == (4, 4, 16)
    assert (network.tied, network.gated, network.intermediate) == (False, True, 96)
    assert imported(tmp_path, LLAMA | {"num_key_value_heads": None, "head_dim": None}) == network
    grouped = imported(tmp_path, LLAMA | {"num_key_value_heads": 2, "head_dim": 24, "tie_word_embeddings": True})
    assert grouped == Network.of("c", "llama", FIELDS["llama"] | {"tied": True})


def test_networks_that_are_estimated_only_are_not_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, "c.json", OPT)
    assert refused(path, load_model) == ESTIMATED.format("c", "opt")
    path = written(tmp_path, "m.yaml", {"family": "opt"} | FIELDS["opt"])
    assert refused(path, load_model) == ESTIMATED.format("m", "opt")
    assert refused("opt-125m", load_model) == ESTIMATED.format("opt-125m", "opt")


@pytest.mark.parametrize("config", [GPT2, BERT], ids=lambda config: config["model_type"])
def test_a_configuration_that_can_be_built_is_estimated_as_it_is_built(tmp_path: Path, config: dict[str, Any]) -> None:
    path = str(written(tmp_path, "c.json", config))
    assert load_network(path) == load_model(path)
    path = str(written(tmp_path, "c.json", config | {"vocab_size": 1 << 30}))
    assert refused(path) == refused(path, load_model)


def test_epsilon_that_is_a_whole_number_or_written_with_an_exponent(tmp_path: Path) -> None:
    network = imported(tmp_path, BERT | {"layer_norm_eps": 0})
    assert (type(network.norm_eps), network.norm_eps) == (float, 0.0)
    path = tmp_path / "m.yml"
    path.write_text(yaml.safe_dump({"family": "bert"} | FIELDS["bert"]).replace("1.0e-12", "1e-12"))
    assert "norm_eps: 1e-12\n" in path.read_text()
    assert load_network(str(path)) == bert(name="m", **FIELDS["bert"])


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(BERT).encode())
    assert load_network(str(path)) == bert(name="c", **FIELDS["bert"])


@pytest.mark.parametrize("other", ["gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"])
def test_other_names_of_the_tanh_form(tmp_path: Path, other: str) -> None:
    assert imported(tmp_path, GPT2 | {"activation_function": other}) == gpt2(name="c", **FIELDS["gpt2"])
    tanh = FIELDS["bert"] | {"activation": "gelu_new"}
    assert imported(tmp_path, BERT | {"hidden_act": other}) == bert(name="c", **tanh)


def test_other_name_of_the_exact_form(tmp_path: Path) -> None:
    expected = bert(name="c", **FIELDS["bert"])
    assert imported(tmp_path, BERT | {"hidden_act": "gelu_python"}) == expected
    path = written(tmp_path, "c.yaml", {"family": "bert"} | FIELDS["bert"] | {"activation": "gelu_python"})
    assert load_network(str(path)) == expected
