"""Networks by name and by file, their weights and multiplications, and every way in which reading them can go wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hdl.model.configkeys import KEYS

from hdl.errors import InputError
from hdl.model.load import load_model, presets
from hdl.model.network import Network, Operator, load_network, networks

GPT2 = {"model_type": "gpt2", "n_layer": 3, "n_embd": 64, "n_head": 4, "n_positions": 32, "vocab_size": 100}
GPT2 |= {"layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
SHARED = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4}
SHARED |= {"max_position_embeddings": 32, "vocab_size": 100}
OPT = SHARED | {"model_type": "opt", "ffn_dim": 96}
LLAMA = SHARED | {"model_type": "llama", "intermediate_size": 96}
BERT = SHARED | {"model_type": "bert", "intermediate_size": 96, "type_vocab_size": 2}
BERT |= {"layer_norm_eps": 1e-12, "hidden_act": "gelu"}
FIELDS: dict[str, Any] = {
    "family": "llama",
    "layers": 3,
    "hidden": 64,
    "heads": 4,
    "kv_heads": 2,
    "head_size": 24,
    "intermediate": 96,
    "gated": True,
    "max_positions": 32,
    "vocabulary": 100,
    "tied": False,
}
KNOWN = (
    "known: bert-base, bert-large, gpt2, gpt2-large, gpt2-medium, gpt2-xl, llama-2-7b, llama-3.2-1b, minilm-l6, "
    "opt-1.3b, opt-125m, opt-6.7b, smollm2-1.7b, smollm2-135m, smollm2-360m, tiny-bert, tiny-gpt2, tinyllama-1.1b, "
    "or a path to a config.json"
)


def refused(name: str | Path) -> str:
    with pytest.raises(InputError) as error:
        load_network(str(name))
    return str(error.value)


def written(folder: Path, name: str, contents: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(contents) if path.suffix == ".json" else yaml.safe_dump(contents))
    return path


def imported(folder: Path, config: dict[str, Any]) -> Network:
    return load_network(str(written(folder, "c.json", config)))


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("bert-base", 109.48),
        ("bert-large", 335.14),
        ("minilm-l6", 22.71),
        ("gpt2", 124.44),
        ("gpt2-medium", 354.82),
        ("gpt2-large", 774.03),
        ("gpt2-xl", 1557.61),
        ("opt-125m", 125.24),
        ("opt-1.3b", 1315.76),
        ("opt-6.7b", 6658.47),
        ("tinyllama-1.1b", 1100.05),
        ("llama-3.2-1b", 1235.81),
        ("llama-2-7b", 6738.42),
        ("smollm2-135m", 134.52),
        ("smollm2-360m", 361.82),
        ("smollm2-1.7b", 1711.38),
    ],
)
def test_parameters_are_the_published_models(name: str, millions: float) -> None:
    network = load_network(name)
    assert network.name == name
    assert 0.99 * millions < network.parameters / 1e6 <= millions, "what is left out is less than 1 %"


def test_every_built_in_network_loads() -> None:
    assert len(networks()) == len(set(networks())) == 18
    assert set(presets()) < set(networks())
    for name in networks():
        network = load_network(name)
        assert network.gated == (network.family == "llama")
        assert network.heads * network.head_size == network.hidden


def test_bert_presets_are_the_models_that_are_built() -> None:
    for name in presets():
        network, spec = load_network(name), load_model(name)
        assert network.layer_weights == spec.layer_weights
        assert (network.layers, network.heads, network.head_size) == (spec.layers, spec.heads, spec.head_size)
        assert not network.causal
        assert network.head_weights == 0
        assert network.weights == spec.layers * spec.layer_weights


def test_matrices_of_a_layer() -> None:
    assert load_network("gpt2").operators == (
        Operator("qkv", 768, 2304),
        Operator("projection", 768, 768),
        Operator("ffn1", 768, 3072),
        Operator("ffn2", 3072, 768),
    )
    grouped = Network(name="grouped", **FIELDS)
    assert grouped.operators == (
        Operator("qkv", 64, 4 * 24 + 2 * 2 * 24),
        Operator("projection", 4 * 24, 64),
        Operator("ffn1", 64, 2 * 96),
        Operator("ffn2", 96, 64),
    )
    assert grouped.kv_features == 2 * 2 * 24
    assert grouped.layer_weights == 64 * 192 + 96 * 64 + 64 * 192 + 96 * 64
    assert grouped.operators[0].weights == 64 * 192


def test_weights_and_parameters_count_the_head_and_the_embedding() -> None:
    untied = Network(name="untied", **FIELDS)
    tied = Network(name="tied", **FIELDS | {"tied": True})
    assert untied.causal
    assert untied.head_weights == tied.head_weights == 64 * 100
    assert untied.weights == tied.weights == 3 * untied.layer_weights + 64 * 100
    assert untied.parameters == untied.weights + 64 * 100
    assert tied.parameters == tied.weights
    tiny = load_network("tiny-gpt2")
    assert tiny.parameters == tiny.weights + 256 * 128, "learned positions are parameters, rotary ones are not"


def counted(network: Network, tokens: int, context: int) -> int:
    """The multiplications of a layer, one at a time."""
    kept = network.head_size * network.kv_heads
    shapes = [(network.hidden, network.heads * network.head_size), (network.hidden, kept), (network.hidden, kept)]
    shapes += [(network.heads * network.head_size, network.hidden)]
    shapes += [(network.hidden, network.intermediate)] * (2 if network.gated else 1)
    shapes += [(network.intermediate, network.hidden)]
    count = 0
    for query in range(context, context + tokens):
        for inputs, outputs in shapes:
            count += sum(1 for _ in range(inputs) for _ in range(outputs))
        for key in range(context + tokens):
            if not network.causal or key <= query:
                for _ in range(network.heads):
                    count += network.head_size  # query * key
                    count += network.head_size  # score * value
    return count


@pytest.mark.parametrize(("tokens", "context"), [(1, 0), (5, 0), (1, 7), (4, 3)])
@pytest.mark.parametrize("name", ["grouped", "tiny-gpt2", "tiny-bert"])
def test_multiplications_of_a_layer(name: str, tokens: int, context: int) -> None:
    network = Network(name=name, **FIELDS) if name == "grouped" else load_network(name)
    if not network.causal:
        context = 0
    assert network.layer_macs(tokens, context) == counted(network, tokens, context)


def test_multiplications_add_up_over_the_steps_of_a_decoder() -> None:
    network = load_network("gpt2")
    assert network.layer_macs(9) == network.layer_macs(4) + sum(network.layer_macs(1, past) for past in range(4, 9))


def test_multiplications_of_the_paper() -> None:
    tokens, d, d_ffn = 512, 768, 3072
    paper = 4 * tokens * d**2 + 2 * tokens**2 * d + 2 * tokens * d * d_ffn
    assert load_network("bert-base").layer_macs(tokens) == paper
    assert load_network("gpt2").layer_macs(tokens) == paper - tokens * (tokens - 1) * d


def test_multiplications_that_make_no_sense() -> None:
    def error(name: str, *lengths: int) -> str:
        with pytest.raises(InputError) as error:
            load_network(name).layer_macs(*lengths)
        return str(error.value)

    assert error("gpt2", 0) == "tokens for model 'gpt2' must be at least 1, not 0"
    assert error("gpt2", 1, -1) == "context for model 'gpt2' must be at least 0, not -1"
    assert error("bert-base", 1, 3) == "context for model 'bert-base' must be 0, as an encoder has no KV cache, not 3"


def test_configuration_of_gpt2(tmp_path: Path) -> None:
    own = {"family": "gpt2", "kv_heads": 4, "head_size": 16, "intermediate": 256, "gated": False, "tied": True}
    expected = Network(name="c", **FIELDS | own)
    assert imported(tmp_path, GPT2) == expected
    assert imported(tmp_path, GPT2 | {"n_inner": None, "add_cross_attention": False}) == expected
    assert imported(tmp_path, GPT2 | {"n_inner": 96}).intermediate == 96
    assert imported(tmp_path, GPT2 | {"tie_word_embeddings": None}) == expected


@pytest.mark.parametrize("config", [GPT2, BERT], ids=lambda config: config["model_type"])
def test_a_configuration_that_can_be_built_is_estimated_as_it_is_built(tmp_path: Path, config: dict[str, Any]) -> None:
    path = str(written(tmp_path, "c.json", config))
    assert load_network(path) == Network.from_spec(load_model(path))
    path = str(written(tmp_path, "c.json", config | {"vocab_size": 1 << 30}))
    with pytest.raises(InputError) as error:
        load_model(path)
    assert refused(path) == str(error.value)


def test_configuration_of_opt(tmp_path: Path) -> None:
    network = imported(tmp_path, OPT)
    assert network == imported(tmp_path, OPT | {"word_embed_proj_dim": 64, "do_layer_norm_before": True})
    assert (network.family, network.layers, network.hidden, network.intermediate) == ("opt", 3, 64, 96)
    assert (network.heads, network.kv_heads, network.head_size) == (4, 4, 16)
    assert (network.max_positions, network.vocabulary, network.tied, network.gated) == (32, 100, True, False)


def test_configuration_of_llama(tmp_path: Path) -> None:
    network = imported(tmp_path, LLAMA)
    assert (network.heads, network.kv_heads, network.head_size) == (4, 4, 16)
    assert (network.tied, network.gated, network.intermediate) == (False, True, 96)
    assert imported(tmp_path, LLAMA | {"num_key_value_heads": None, "head_dim": None}) == network
    grouped = imported(tmp_path, LLAMA | {"num_key_value_heads": 2, "head_dim": 24, "tie_word_embeddings": True})
    assert grouped == Network(name="c", **FIELDS | {"tied": True})


def test_configuration_by_file_and_by_folder(tmp_path: Path) -> None:
    path = written(tmp_path, "config.json", OPT)
    assert load_network(str(path)) == load_network(str(tmp_path))
    assert load_network(str(tmp_path)).name == tmp_path.name


def test_yaml_like_a_built_in_network_or_a_preset(tmp_path: Path) -> None:
    assert load_network(str(written(tmp_path, "mine.yaml", FIELDS))) == Network(name="mine", **FIELDS)
    of_any = {
        name: FIELDS[name] for name in ("layers", "hidden", "heads", "intermediate", "max_positions", "vocabulary")
    }
    of_bert = {"token_types": 2, "layer_norm_eps": 1e-12, "activation": "gelu"}
    path = written(tmp_path, "encoder.yaml", of_any | of_bert)
    assert load_network(str(path)) == Network.from_spec(load_model(str(path)))


def test_unknown_name() -> None:
    assert refused("gtp2") == f"model 'gtp2' is unknown, did you mean 'gpt2'?; {KNOWN}"
    assert refused("resnet") == f"model 'resnet' is unknown; {KNOWN}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.json"
    assert refused(missing) == f"model file {missing} cannot be read: No such file or directory"
    (tmp_path / "config.json").write_text("{")
    assert refused(tmp_path).startswith(f"model file {tmp_path / 'config.json'} must be valid JSON: Expecting property")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT2 | {"model_type": "mistral"}, "model_type in PATH must be bert, gpt2, opt or llama, not 'mistral'"),
        (GPT2 | {"n_layer": 0}, "layers of model 'c' must be a whole number of at least 1, not 0"),
        (GPT2 | {"n_embd": "64"}, "hidden of model 'c' must be a whole number of at least 1, not '64'"),
        (GPT2 | {"n_inner": 1.5}, "intermediate of model 'c' must be a whole number of at least 1, not 1.5"),
        (GPT2 | {"n_head": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        (LLAMA | {"tie_word_embeddings": 1}, "tied of model 'c' must be true or false, not 1"),
        (
            OPT | {"do_layer_norm_before": False},
            "do_layer_norm_before in PATH must be true or left out, not false; "
            "it makes another network than a plain OPT",
        ),
        (OPT | {"word_embed_proj_dim": 32}, "word_embed_proj_dim in PATH must be 64, the model's hidden size, not 32"),
        (
            LLAMA | {"num_hidden_layers": 257},
            "layers of model 'c' must be at most 256, not 257: the deepest published models have about 130",
        ),
        (LLAMA | {"num_attention_heads": 5}, "hidden of model 'c' must be a multiple of its 5 heads, not 64"),
        (LLAMA | {"num_key_value_heads": 3}, "kv_heads of model 'c' must be a divisor of its 4 heads, not 3"),
        (LLAMA | {"num_key_value_heads": 0}, "kv_heads of model 'c' must be a whole number of at least 1, not 0"),
        (LLAMA | {"head_dim": "16"}, "head_size of model 'c' must be a whole number of at least 1, not '16'"),
        (BERT | {"hidden_act": "relu"}, "activation of model 'c' must be gelu, the only one supported, not 'relu'"),
        ([1], "PATH must be a Hugging Face configuration, a JSON object, not [1]"),
        (SHARED, "PATH must be a Hugging Face configuration with a model_type; take the file beside the weights"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, config: Any, message: str) -> None:
    path = written(tmp_path, "c.json", config)
    assert refused(path) == message.replace("PATH", str(path))


@pytest.mark.parametrize("config", [GPT2, OPT, LLAMA, BERT], ids=lambda config: config["model_type"])
def test_configurations_that_are_incomplete(tmp_path: Path, config: dict[str, Any]) -> None:
    own = KEYS[config["model_type"]]
    for lacking in own.shape:
        path = written(tmp_path, "c.json", {key: value for key, value in config.items() if key != lacking})
        assert refused(path) == f"{path} lacks the field {lacking!r}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hiden": 64}, "PATH has an unknown field 'hiden', did you mean 'hidden'?"),
        ({"family": "mistral"}, "family of model 'm' must be bert, gpt2, opt or llama, not 'mistral'"),
        ({"gated": "yes"}, "gated of model 'm' must be true or false, not 'yes'"),
        ({"layers": True}, "layers of model 'm' must be a whole number of at least 1, not true"),
        (
            {"vocabulary": 1 << 21},
            "vocabulary of model 'm' must be at most 1,048,576, not 2097152: the largest published "
            "vocabularies have about 900,000 words",
        ),
        ({"family": "gpt2"}, "head_size of model 'm' must be 16, its hidden size over its 4 heads, not 24"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "m.yaml", FIELDS | change)
    assert refused(path) == message.replace("PATH", str(path))


def test_yaml_that_is_incomplete(tmp_path: Path) -> None:
    path = written(tmp_path, "m.yaml", {name: value for name, value in FIELDS.items() if name != "kv_heads"})
    assert refused(path) == f"{path} lacks the field 'kv_heads'"
    path = written(tmp_path, "m.yaml", [1, 2])
    assert refused(path) == f"{path} must be a mapping of fields to values, not [1, 2]"
