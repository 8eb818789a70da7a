"""The paper's model: its equations by hand on small cases, and its own design against what was published of it."""

from pathlib import Path
from typing import Any

import pytest

from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf import (
    PaperMapping,
    kernel_cycles,
    largest_mapping,
    load_device,
    load_paper_design,
    paper_designs,
)
from hdl.perf.designs.constraints import binding
from hdl.perf.paper.kernels import KERNELS, array_cycles
from hdl.perf.paper.mapping import UNITS, balanced

from ...model.networks import gpt2

U280 = load_device("u280")

SMALL = gpt2("small", layers=4, hidden=16, heads=2, intermediate=64, max_positions=32, vocabulary=100)


def small(**changes: Any) -> PaperMapping:
    """A mapping whose figures can be worked out by hand."""
    macs = {"q": 8, "k": 8, "v": 8, "p": 8, "a1": 4, "a2": 4, "f1": 16, "f2": 32}
    given = {"network": SMALL, "macs": macs, "reuse": dict.fromkeys(UNITS, 2), "layers": 2, "clock_mhz": 100.0}
    return PaperMapping(**(given | changes))


def test_work_is_that_of_section_4_1() -> None:
    prompt = {"q": 2560, "k": 2560, "v": 2560, "p": 2560, "a1": 1600, "a2": 1600, "f1": 10240, "f2": 10240}
    assert small().work(10) == prompt
    token = {"q": 256, "k": 256, "v": 256, "p": 256, "a1": 176, "a2": 176, "f1": 1024, "f2": 1024}
    assert small().work(1, 10) == token


def test_constraints_are_equations_1_to_4() -> None:
    mapping = small()
    # 2: (4 * 256 + 2 * 1024) weights; two tiles of 4 * 8 + 16 + 32 = 80; 4 * 10 * 16; 16 * 32 + 10 * 16: bytes.
    assert mapping.layer_bytes == 3072
    assert mapping.tile_bytes == 160
    assert mapping.cache_bytes(10) == 640
    assert mapping.fifo_bytes(10) == 672
    # 3: each of M / r banks is far below a block, so it is as many blocks as weights a cycle.
    assert [mapping.ports(unit, 10) for unit in ("q", "a1", "f2")] == [4, 2, 16]
    found = {one.name: one for one in mapping.constraints(U280, 10)}
    assert (found["1 compute"].needed, found["1 compute"].available) == (2 * 88, 2 * 9024)
    assert found["2 off-chip memory"].needed == 2 * 3072 / 1e9
    assert found["2 on-chip memory"].needed == 2 * (160 + 640 + 672) / 1e6
    assert found["2 on-chip memory"].available == (2016 * 36 * 1024 + 960 * 72 * 4096) / 8e6
    # C * (4 * 4 + 8 + 16) for the weights, 2 C (2 + 2) for keys and values.
    assert (found["3 memory ports"].needed, found["3 memory ports"].available) == (2 * 40 + 4 * 4, 2016 + 960)
    # 4: C * 40 weights of a byte a cycle at 100 MHz.
    assert found["4 bandwidth"].needed == 8.0
    assert mapping.bandwidth == 8e9


def test_memory_ports_count_whole_blocks_and_packed_words() -> None:
    # 1,024 tokens of 16 features at 36 bits in 2 banks: 294,912 bits each, 8 blocks of 36,864.
    wide = small()
    assert wide.ports("a1", 1024) == 16
    assert small(packed=4).ports("a1", 1024) == 4
    assert small(packed=2).ports("q", 10) == 2
    # 16-bit activations need a DSP for each product.
    assert small(activation_bits=16).constraints(U280, 10)[0].available == 9024
    assert small(double_buffered=False).tile_bytes == 80


def test_latencies_are_equations_5_and_6() -> None:
    mapping = small()
    # 4 / 2 * (2560 / 8 + 2 * max(320, 1600 / 4, 10240 / 16)) = 2 * (320 + 2 * 640)
    assert mapping.prefill_cycles(10) == 3200
    assert mapping.prefill_seconds(10) == 3200 / 100e6
    # 4 / 2 * (256 / 8 + 2 * max(32, 11 * 16 / 4, 1024 / 16)) = 2 * (32 + 2 * 64)
    assert mapping.decode_cycles(10) == 320
    assert mapping.decode_seconds(10) == 320 / 100e6
    # 3,072 bytes at 4,600 a cycle; at 3 a cycle, the memory is the slowest.
    assert mapping.memory_cycles(U280) == pytest.approx(3072 / 4600)
    assert mapping.prefill_cycles(10, U280) == 3200
    slow = U280.memory.model_copy(update={"bandwidth_gb_s": 0.3})
    device = U280.model_copy(update={"memories": (slow,)})
    assert mapping.memory_cycles(device) == pytest.approx(1024)
    assert mapping.prefill_cycles(10, device) == pytest.approx(2 * (320 + 2 * 1024))
    assert mapping.decode_cycles(10, device) == pytest.approx(2 * (32 + 2 * 1024))


def test_balance_is_equation_7() -> None:
    macs = balanced(SMALL, 8, 8)
    assert macs == {"q": 8, "k": 8, "v": 8, "p": 8, "a1": 4, "a2": 4, "f1": 32, "f2": 32}
    mapping = small(macs=macs)
    assert mapping.imbalance(8) == 1
    # 1/f * N (1 + 1/C) * l d^2 / M
    assert mapping.prefill_cycles(8) == 4 * (1 + 1 / 2) * 8 * 256 / 8
    assert small().imbalance(10) == 2


@pytest.mark.parametrize("model", ["gpt2", "gpt2-medium", "bert-base"])
def test_no_larger_mapping_is_allowed(model: str) -> None:
    network = load_network(model)
    found = largest_mapping(network, U280, tokens=128)
    assert binding(found.constraints(U280, 128)) is None
    macs = found.macs["q"] + 8
    larger = PaperMapping(
        network=network, macs=balanced(network, 128, macs), reuse=found.reuse, layers=found.layers, packed=found.packed
    )
    assert binding(larger.constraints(U280, 128)) is not None
    assert found.imbalance(128) == pytest.approx(1, rel=0.01)


def test_more_bandwidth_and_fewer_bits_allow_more() -> None:
    network = load_network("gpt2-medium")
    eight, four = (largest_mapping(network, U280, tokens=128, weight_bits=bits) for bits in (8, 4))
    assert four.macs["q"] > eight.macs["q"]
    assert four.prefill_seconds(128) < eight.prefill_seconds(128)


def test_kernels_follow_the_loops() -> None:
    # 2 groups of 4 tokens, 3 blocks of 2 outputs: 3 * (5 + 1) and the crossing, 4 + 2 - 2 + 1; the first 5 terms.
    assert array_cycles(tokens=7, outputs=6, terms=5, macs=8, reuse=4, depth=1) == 2 * (18 + 5) + 5
    assert array_cycles(tokens=7, outputs=6, terms=5, macs=8, reuse=4, heads=3, depth=1) == 6 * (18 + 5) + 2 * 5


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_paper_s_design_gives_its_published_cycles(kernel: str) -> None:
    design = load_paper_design("gpt2-345m")
    found = kernel_cycles(design.mapping, design.tokens)
    assert set(found) == set(design.kernels) == set(KERNELS)
    assert found[kernel] == pytest.approx(design.kernels[kernel], rel=0.05)


def test_the_paper_s_bert_gives_its_published_stages() -> None:
    design = load_paper_design("bert-base")
    cycles = kernel_cycles(design.mapping, design.tokens)
    stages = {"qkv": 4.86, "qk": 14.63, "ffn1": 19.81}
    for name, milliseconds in stages.items():
        assert cycles[name] / 245e3 == pytest.approx(milliseconds, rel=0.05)


def test_the_linear_units_are_within_5_percent_by_the_equations_alone() -> None:
    design = load_paper_design("gpt2-345m")
    work = design.mapping.work(design.tokens)
    for kernel, unit in {"qkv": "q", "projection": "p", "ffn1": "f1", "ffn2": "f2"}.items():
        assert work[unit] / design.mapping.macs[unit] == pytest.approx(design.kernels[kernel], rel=0.05)


@pytest.mark.parametrize("name", paper_designs())
def test_every_published_figure_has_a_source(name: str) -> None:
    design = load_paper_design(name)
    needed = {"network", "layers", "macs", "reuse", "packed", "clock_mhz", "resources"}
    needed |= {"kernels"} if design.kernels else set()
    assert needed == set(design.sources)
    assert all(len(source) > 10 for source in design.sources.values())
    assert binding(design.mapping.constraints(design.device, design.tokens)) is None


def test_the_page_has_the_kernels_as_they_are_modelled() -> None:
    page = (Path(__file__).parents[3] / "docs" / "paper.md").read_text()
    design = load_paper_design("gpt2-345m")
    for name, cycles in kernel_cycles(design.mapping, design.tokens).items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert f" {design.kernels[name]:,} " in row
        assert f" {cycles:,} " in row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 5}, "layers on chip must be 1 to 4, those of model 'small', not 5"),
        ({"layers": 0}, "layers on chip must be 1 to 4, those of model 'small', not 0"),
        ({"macs": {"q": 1}}, "macs must be given for q, k, v, p, a1, a2, f1, f2, not for q"),
        ({"reuse": dict.fromkeys(UNITS, 0)}, "reuse of unit q must be at least 1, not 0"),
        (
            {"network": load_network("llama-3.2-1b")},
            "model 'llama-3.2-1b' must have two feed-forward matrices and heads that share its hidden features for the "
            "paper's equations, not 8 key heads for 32 query heads and a gate; estimate it instead",
        ),
    ],
)
def test_mistakes_in_a_mapping(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        small(**change)
    assert str(error.value) == message


def test_devices_of_the_wrong_kind_are_refused() -> None:
    known = "known: kv260, u250, u280, u50, u55c, vck5000, vhk158"
    for name, kind in (("a100", "a GPU"), ("s10nx", "an FPGA of another kind")):
        for ask in (
            lambda device: small().constraints(device, 10),
            lambda device: largest_mapping(SMALL, device, tokens=8),
        ):
            with pytest.raises(InputError) as error:
                ask(load_device(name))
            assert str(error.value) == f"device {name!r} must be an FPGA with DSPs, not {kind}; {known}"


def test_where_nothing_fits_the_constraint_is_named() -> None:
    slow = U280.memory.model_copy(update={"bandwidth_gb_s": 1})
    with pytest.raises(InputError) as error:
        largest_mapping(SMALL, U280.model_copy(update={"memories": (slow,)}), tokens=8)
    assert str(error.value) == (
        "no mapping of model 'small' fits device 'u280': 4 bandwidth: 3.6 GB/s needed, 1 available"
    )


def test_an_unknown_design_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        load_paper_design("gpt2-345")
    assert str(error.value) == (
        "paper design 'gpt2-345' is unknown, did you mean 'gpt2-345m'?; known: bert-base, gpt2-345m"
    )
