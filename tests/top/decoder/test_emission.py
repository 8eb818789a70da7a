"""What is emitted of a decoder: Verilog without a finding, and a manifest that tells what lies where."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from hdl.perf.device import load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.top.describe import summary
from hdl.top.image import build_image
from hdl.top.manifest import build_manifest
from hdl.top.memory_layout import memory_layout
from hdl.top.run_cycles import cycles
from sim.verilator import WAIVERS, lint

from .designs import DEEP, FAR, MIXED, MOVED, ODD, PACKED, TINY
from .simulations import model_of, sources


@cache
def memory(spec: DecoderSpec) -> dict[str, Any]:
    """What the manifest tells of the memory."""
    return memory_layout(spec)


@pytest.mark.parametrize("spec", [ODD, FAR], ids=["odd", "far"])
def test_the_verilog_has_no_finding(spec: DecoderSpec) -> None:
    assert lint(sources(spec), "decoder", waivers=WAIVERS) == []


@pytest.mark.parametrize("spec", [TINY, ODD, PACKED, MIXED], ids=["tiny", "odd", "packed", "mixed"])
def test_segments_cover_the_channels(spec: DecoderSpec) -> None:
    channels = build_image(model_of(spec), spec).channels
    for name in spec.products:
        unit = memory(spec)["weights"]["units"][name]
        (own_start, own), (head_start, head) = unit["reads"]["prompt"]
        ((token_start, token),) = unit["reads"]["token"]
        beats = [product["beats"] for product in unit["products"]]
        assert (own_start, own) == (0, spec.max_layers * beats[0])
        assert (token_start, token) == (own, spec.max_layers * sum(beats[1:-1]) + beats[-1])
        assert (head_start, head) == (token_start + token - beats[-1], beats[-1])
        assert [product["name"] for product in unit["products"]] == [name, *spec.shared_products]
        assert [len(channels[channel]) for channel in unit["channels"]] == [own + token] * spec.linear(name).channels
    told = memory(spec)["parameters"]
    beats = spec.max_layers * told["sections"]["layer"]["beats"] + told["sections"]["head"]["beats"]
    assert told["reads"] == {"prompt": ((0, beats),), "token": ((0, beats),)}
    tables = memory(spec)["embedding"]
    assert beats <= tables["first_beat"] < beats + 64
    assert len(channels["parameters"]) == tables["first_beat"] + tables["beats"]


def test_keys_and_values_off_chip_are_told_of() -> None:
    assert "cache" not in memory(TINY)
    told = memory(FAR)["cache"]["units"]
    assert told["keys"]["channels"] == ["keys__0", "keys__1"]
    # For each of 4 layers. 44 tokens are 6 blocks of 8, and 32 features are 4: a channel of keys has 3 blocks of
    # tokens, a channel of values has all 6, of half of the features.
    assert [told[name]["beats"] for name in ("keys", "values")] == [4 * 3 * 4, 4 * 6 * 2]


def test_bits_of_weights_are_told_of_product_by_product() -> None:
    for unit in memory(MIXED)["weights"]["units"].values():
        bits = {product["name"]: product["bits"] for product in unit["products"]}
        assert bits == {"qkv": 4, "projection": 8, "ffn1": 4, "ffn2": 4, "head": 8}
    ends = {MIXED: "; weights of 4 bits but 8 of head and projection", PACKED: " 4 bits", TINY: " 8 bits"}
    for spec, end in ends.items():
        assert summary(spec, load_device("u280")).endswith(end)


def test_cycles_grow_with_the_tokens() -> None:
    found = cycles(TINY, load_device("u280"))
    assert [one["tokens"] for one in found] == [16, TINY.max_length]
    assert found[0]["prompt_estimate"] > found[0]["token_estimate"] > 0


def test_what_lies_in_block_ram_since_uram_is_short_is_told_of() -> None:
    device = load_device("u280")
    assert summary(MOVED, device).endswith(
        "in block RAM, because URAM is short: loop, qkv, projection, ffn2, scores, sums"
    )
    assert "block RAM" not in summary(DEEP, device)


def test_the_manifest_has_bits_and_block_rams() -> None:
    told = build_manifest(replace(MIXED, block_rams=("loop",)), load_device("u280"), "tiny")
    assert told["geometry"]["weight_bits"] == {"qkv": 4, "projection": 8, "ffn1": 4, "ffn2": 4, "head": 8}
    assert told["geometry"]["block_rams"] == ("loop",)
