"""Networks: their weights and multiplications, and shapes that no network of a family has."""

from dataclasses import replace
from typing import Any

import pytest

from hdl.errors import InputError
from hdl.model.load import load_network, networks, presets
from hdl.model.network import Network

FIELDS: dict[str, Any] = {
    "layers": 3, "hidden": 64, "heads": 4, "kv_heads": 2, "head_size": 24, "intermediate": 96, "max_positions": 32,
    "vocabulary": 100, "tied": False,
}  # fmt: skip
GROUPED = Network.of("grouped", "llama", FIELDS)
TIED = Network.of("tied", "llama", FIELDS | {"tied": True})


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


def test_weights_of_encoders_are_their_layers() -> None:
    for name in ("bert-base", "bert-large", "minilm-l6", "tiny-bert"):
        network = load_network(name)
        assert network.layer_weights == 4 * network.hidden**2 + 2 * network.hidden * network.intermediate
        assert not network.causal
        assert network.head is None
        assert network.head_weights == 0
        assert network.weights == network.layers * network.layer_weights


def matrices(network: Network) -> list[tuple[str, int, int]]:
    return [(linear.name, linear.inputs, linear.outputs) for linear in network.operators]


def test_matrices_of_a_layer() -> None:
    assert matrices(load_network("gpt2")) == [
        ("qkv", 768, 2304),
        ("projection", 768, 768),
        ("ffn1", 768, 3072),
        ("ffn2", 3072, 768),
    ]
    assert matrices(GROUPED) == [
        ("qkv", 64, 4 * 24 + 2 * 2 * 24),
        ("projection", 4 * 24, 64),
        ("ffn1", 64, 2 * 96),
        ("ffn2", 96, 64),
    ]
    assert load_network("gpt2").products == ("qkv", "projection", "ffn1", "ffn2", "head")
    assert load_network("bert-base").products == ("qkv", "projection", "ffn1", "ffn2")
    assert GROUPED.kv_features == 2 * 2 * 24
    assert GROUPED.layer_weights == 64 * 192 + 96 * 64 + 64 * 192 + 96 * 64
    assert GROUPED.operators[0].weights == 64 * 192


def test_weights_and_parameters_count_the_head_and_the_embedding() -> None:
    assert GROUPED.causal
    assert GROUPED.head_weights == TIED.head_weights == 64 * 100
    assert GROUPED.weights == TIED.weights == 3 * GROUPED.layer_weights + 64 * 100
    assert GROUPED.parameters == GROUPED.weights + 64 * 100
    assert TIED.parameters == TIED.weights
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
    network = GROUPED if name == "grouped" else load_network(name)
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


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "tiny-gpt2",
            {"family": "mixtral"},
            "family of model '{}' must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not 'mixtral'",
        ),
        (
            "tiny-gpt2",
            {"family": ["gpt2"]},
            "family of model '{}' must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not ['gpt2']",
        ),
        ("tiny-bert", {"activation": "relu"}, "activation of model '{}' must be gelu or gelu_new or silu, not 'relu'"),
        ("tiny-bert", {"layers": 0}, "layers of model '{}' must be a whole number of at least 1, not 0"),
    ],
)
def test_shapes_that_no_network_of_the_family_has(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        replace(load_network(name), **change)
    assert str(error.value) == message.format(name)


def test_head_sizes_of_their_own_need_no_hidden_size_that_the_heads_divide() -> None:
    odd = {name: value for name, value in FIELDS.items() if name not in ("kv_heads", "head_size")} | {"hidden": 66}
    assert Network.of("odd", "llama", odd | {"head_size": 24}).head_size == 24
    with pytest.raises(InputError) as error:
        Network.of("odd", "llama", odd)
    assert str(error.value) == "hidden of model 'odd' must be a multiple of its 4 heads, not 66"


def test_fields_that_follow_from_others() -> None:
    sizes = {"layers": 1, "hidden": 16, "heads": 2, "max_positions": 8, "vocabulary": 9, "norm_eps": 0}
    found = Network.of("m", "gpt2", sizes | {"activation": "gelu_fast"})
    assert (found.kv_heads, found.head_size, found.intermediate) == (2, 8, 64)
    assert (found.token_types, found.tied, found.activation) == (0, True, "gelu_new")
    assert (type(found.norm_eps), found.norm_eps) == (float, 0.0)
