"""The families: their graphs and tables against published counts of parameters, and their checkpoints' names."""

from collections.abc import Iterable

import pytest

from hdl.model.architecture import Attention, Gate, Graph, Linear, Norm, Operator, Rotary, Table
from hdl.model.families import FAMILIES, LOADED, of_families
from hdl.model.family import Family
from hdl.model.load import load_network, networks
from hdl.model.network import Network

from .checkpoints import BERT, GPT2
from .test_load import CONFIGS

PUBLISHED = {
    "bert-base": 109_482_240 - (768 * 768 + 768),
    "bert-large": 335_141_888 - (1024 * 1024 + 1024),
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "opt-125m": 125_239_296 - 2 * 768,
    "opt-1.3b": 1_315_758_080 - 2 * 2048,
    "opt-6.7b": 6_658_473_984 - 2 * 4096,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-3.2-1b": 1_235_814_400,
    "llama-2-7b": 6_738_415_616,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
}
"""What `transformers` counts, without BERT's pooler and OPT's two spare positions, which no graph has."""


def parameters(graph: Graph | None, *, tied: bool = False) -> int:
    """The weights, biases, and factors of a graph's operators; without the matrix of a ``tied`` head."""
    found = 0
    for operator in graph or ():
        if isinstance(operator, Norm):
            found += operator.features if operator.root_mean_square else 2 * operator.features
        elif isinstance(operator, Linear):
            found += (0 if tied else operator.weights) + (operator.outputs if operator.bias else 0)
    return found


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_graphs_and_tables_have_the_published_parameters_exactly(name: str, published: int) -> None:
    network = load_network(name)
    tables = network.hidden * sum(network.embedding.tables.values())
    found = tables + parameters(network.embedding.graph) + network.layers * parameters(network.layer)
    assert found + parameters(network.head, tied=network.tied) == published


VISION = {"channels": 3, "image_size": 224, "patch_size": 16, "norm_eps": 1e-12, "activation": "gelu"}


@pytest.mark.parametrize(
    ("family", "hidden", "heads", "published"),
    [
        ("vit", 768, 12, 86_567_656 - 769_000),
        ("deit", 768, 12, 87_338_192 - 2 * 769_000),
        ("vit", 192, 3, 5_717_416 - 193_000),
    ],
)
def test_vision_transformers_have_the_published_parameters_exactly(
    family: str, hidden: int, heads: int, published: int
) -> None:
    """Without the heads of the 1,000 classes of ImageNet. DeiT has a second one, for its token of distillation."""
    network = Network.of(
        "v", family, VISION | {"layers": 12, "hidden": hidden, "heads": heads, "intermediate": 4 * hidden}
    )
    tables = hidden * sum(network.embedding.tables.values())
    found = tables + parameters(network.embedding.graph) + network.layers * parameters(network.layer)
    assert found + parameters(network.closing) == published
    assert network.max_positions == 14 * 14 + (2 if family == "deit" else 1)
    assert not network.causal


def names(operators: Iterable[Operator]) -> list[str]:
    return [operator.name for operator in operators]


@pytest.mark.parametrize("name", networks())
def test_layers_take_and_give_what_the_network_has(name: str) -> None:
    network = load_network(name)
    layer, (attention,) = network.layer, network.layer.of(Attention)
    assert layer.features == layer.widths[layer.output] == network.hidden
    assert (attention.heads, attention.kv_heads) == (network.heads, network.kv_heads)
    assert (attention.head_size, attention.causal) == (network.head_size, network.family != "bert")
    assert [table.function for table in layer.of(Table)] == [network.activation]
    assert {norm.root_mean_square for norm in layer.of(Norm)} == {network.family == "llama"}
    assert names(layer.of(Linear)) == ["qkv", "projection", "ffn1", "ffn2"]
    if network.head:
        assert network.head.features == network.hidden
        assert network.head.widths[network.head.output] == network.vocabulary


def test_orders_of_operators() -> None:
    branches = ["qkv", "context", "projection"], ["ffn1", "activation", "ffn2"]
    post = [*branches[0], "residual1", "norm1", *branches[1], "residual2", "norm2"]
    pre = ["norm1", *branches[0], "residual1", "norm2", *branches[1], "residual2"]
    assert names(load_network("bert-base").layer) == post
    assert names(load_network("gpt2").layer) == names(load_network("opt-125m").layer) == pre
    llama = load_network("llama-3.2-1b").layer
    assert [name for name in names(llama) if name in pre] == pre
    assert names(llama.of(Rotary)) == ["keys", "queries"]
    assert names(llama.of(Gate)) == ["gated"]


def test_embeddings_and_heads() -> None:
    base, gpt2, opt, llama = (load_network(name) for name in ("bert-base", "gpt2", "opt-125m", "llama-2-7b"))
    assert base.embedding.tables == {"word": 30522, "position": 512, "token_type": 2}
    assert base.embedding.graph is not None
    assert names(base.embedding.graph) == ["norm"]
    assert gpt2.embedding.tables == {"word": 50257, "position": 1024}
    assert opt.embedding.tables == {"word": 50272, "position": 2048}
    assert llama.embedding.tables == {"word": 32000}
    assert base.head is None
    for network in (gpt2, opt, llama):
        assert network.embedding.graph is None
        assert network.head is not None
        assert (names(network.head), network.head.output) == (["norm", "head"], "logits")
        assert not network.head.of(Linear)[0].bias


def test_families_in_sentences() -> None:
    assert tuple(FAMILIES) == ("bert", "gpt2", "llama", "mistral", "qwen2", "opt", "qwen3", "vit", "deit")
    assert tuple(name for name in FAMILIES if name != "opt") == LOADED
    assert of_families() == "bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit"
    assert of_families(("bert",)) == "bert"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_key_of_a_configuration_means_one_thing(family: Family) -> None:
    keys = family.keys
    groups = [set(keys.shape), set(keys.defaults), set(keys.derived), set(keys.extras), set(keys.plain), set(keys.same)]
    groups += [set(keys.aliases), {pattern for pattern in keys.harmless.split() if "*" not in pattern}]
    # Those that a file is recognised by may be of any kind.
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set(keys.aliases.values()) <= set().union(*groups)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["model_type"])
def test_marks_tell_the_families_apart(config: dict) -> None:
    for name, family in FAMILIES.items():
        if name != config["model_type"]:
            assert not family.keys.marks & config.keys()


VIT, DEIT = (
    Network.of("v", family, VISION | {"layers": 1, "hidden": 16, "heads": 2, "intermediate": 32})
    for family in ("vit", "deit")
)


GATED = [
    Network.of(
        name, name, {"layers": 1, "hidden": 16, "heads": 8, "intermediate": 32, "vocabulary": 8, "max_positions": 8}
    )
    for name in ("llama", "mistral", "qwen2", "qwen3")
]


@pytest.mark.parametrize("network", [BERT, GPT2, VIT, DEIT, *GATED], ids=lambda network: network.family)
def test_layouts_name_all_that_the_graphs_need(network: Network) -> None:
    layout = network.traits.layout
    assert layout is not None
    assert layout.tables.keys() == network.embedding.tables.keys()
    for graph, stored in (
        (network.layer, layout.layer),
        (network.embedding.graph, layout.embedding),
        (network.closing, layout.closing),
    ):
        operators = graph.operators if graph else ()
        needed = [part.name for linear in operators if isinstance(linear, Linear) for part in linear.parts]
        needed += [norm.name for norm in operators if isinstance(norm, Norm)]
        assert sorted(part for parts in stored.values() for part in parts) == sorted(needed)
    # The head's matrix is the table of words.
    own = {name: parts for name, parts in layout.head.items() if f"{name}.weight" != layout.tied}
    assert sorted(own.values()) == ([("norm",)] if network.head else [])
