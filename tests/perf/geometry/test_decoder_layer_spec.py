"""Estimates of decoders: those of the cycles that are counted tile by tile and word by word."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hdl.model.load import load_model
from hdl.model.weightbits import W4, W8, WeightBits
from hdl.perf.choice.built import plan
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.geometry.formulas import loads
from hdl.perf.memory_timing import MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles

U280 = load_device("u280")
TIMING = MemoryTiming.of_device(U280)

TOLERANCE = {W8: 0.05, W4: 0.07, WeightBits.of(4, ["head"]): 0.05, WeightBits.of(4, ["qkv", "ffn2"]): 0.07}
"""By bits of weights. Where the units and what fills their RAMs take as long as each other, as with 4 bits, neither
hides all of the other's waits."""

LENGTHS = {"gpt2": 192, "tiny-gpt2": 256}

CASES = [("gpt2", W8), ("gpt2", WeightBits.of(4, ["head"])), *(("tiny-gpt2", bits) for bits in TOLERANCE)]
"""All bits of the small network, and of the large one 8 bits and both together."""


@cache
def planned(name: str, bits: WeightBits) -> tuple[DecoderSpec, SpatialDesign, float]:
    """A decoder, its design, and the bytes a cycle that it gets."""
    model = load_model(name)
    spec = plan(model, U280, max_length=LENGTHS[name], weight_bits=bits)
    assert isinstance(spec, DecoderSpec)
    design = SpatialDesign(model, spec)
    share = U280.memory.sustained * design.bandwidth(U280.memory) / U280.memory.bandwidth_gb_s
    return spec, design, share * U280.memory.bytes_a_cycle(U280.clock_mhz)


@pytest.mark.parametrize(("name", "bits"), CASES, ids=str)
def test_estimates_are_near_what_is_counted(name: str, bits: WeightBits) -> None:
    spec, design, bytes_a_cycle = planned(name, bits)
    for tokens in (6, 32, 128, LENGTHS[name]):
        counted = counted_decoder_cycles(spec, tokens, 0, TIMING)
        assert design.prefill(tokens).cycles_at(bytes_a_cycle) == pytest.approx(counted, rel=TOLERANCE[bits]), tokens
    for context in (0, 128, LENGTHS[name] - 1):
        counted = counted_decoder_cycles(spec, 1, context, TIMING)
        assert design.decode(context).cycles_at(bytes_a_cycle) == pytest.approx(counted, rel=TOLERANCE[bits]), context


def test_a_token_cannot_be_faster_than_its_channels() -> None:
    spec, design, bytes_a_cycle = planned("gpt2", W8)
    beats = [spec.segments(name)["token"][0][1] for name in spec.products]
    assert spec.token_load == max(beats)
    least = max(beats) / (float(TIMING.rate) * U280.memory.sustained)
    assert design.decode(0).cycles_at(bytes_a_cycle) >= 0.99 * least
    assert counted_decoder_cycles(spec, 1, 0, TIMING) >= 0.99 * least


def test_loads_are_those_of_the_slowest_unit() -> None:
    # Rounds of 10 features: 2 and 3; words of 8 or 16 inputs.
    found = loads(
        [(32, 20, 5), (16, 30, 1)],
        columns=10, depths=np.array([8, 16]), beats_a_word=np.array([1.0, 3.0]), held=np.array([2, 1]),
    )  # fmt: skip
    assert [float(one) for one in found] == [max(5 * 2 * 4 + 3 * 2, 3 * (5 * 2 * 2 + 3)), max(3 * 2 - 2, 3 * (3 - 1))]


def test_weights_of_4_bits_get_arrays_that_can_have_them() -> None:
    spec, _, _ = planned("gpt2", W4)
    assert all(8 % spec.linear(name).cascades == 0 for name in spec.products)


def test_the_last_tiles_of_a_long_prompt_wait_for_attention() -> None:
    spec = plan(load_model("tiny-gpt2"), U280, max_length=256)
    assert isinstance(spec, DecoderSpec)
    # With the smallest arrays for attention its first tiles are faster than the linear units, the last slower.
    slow = replace(spec, arrays=spec.arrays | Arrays(scores=(4, 1), sums=(8, 1)), score_lanes=1)
    linear = max(slow.linear(name).cycles(1) for name in spec.products)
    first, last = (slow.scores_unit.tile_cycles(tokens) for tokens in (4, 256))
    assert first < linear < last
    design = SpatialDesign(load_model("tiny-gpt2"), slow)
    for tokens in (64, 128, 256):
        assert design.prefill(tokens).cycles == pytest.approx(counted_decoder_cycles(slow, tokens, 0, TIMING), rel=0.05)
        assert slow.busy_cycles(tokens) > tokens // 4 * linear
