"""Estimates: what they say follows from the design, the limits bound them, and mistakes are told."""

import json
from dataclasses import replace
from typing import Any

import pytest

from hdl.bounds import SEQUENCES
from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf import estimate, estimate_design, load_device
from hdl.perf.choice.best_geometry import choose_geometry
from hdl.perf.choice.estimated import candidates
from hdl.perf.designs.cost import work_cycles
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec
from hdl.perf.workload import Workload

U280 = load_device("u280")


@pytest.mark.parametrize(
    ("model", "kind"),
    [("bert-base", "spatial"), ("llama-2-7b", "streamed")],
)
def test_every_kind_of_network_is_within_its_limits(model: str, kind: str) -> None:
    found = estimate(model, "u280", prompt=64)
    assert found.design.kind == kind
    assert all(constraint.met for constraint in found.constraints)
    for timing in (found.first_token, found.token):
        if timing is not None:
            assert 0 < timing.ratio <= 1
            assert timing.seconds >= max(timing.compute_limit, timing.memory_limit)
    assert (found.token is None) == (model == "bert-base")


def test_limits_are_those_of_the_arithmetic() -> None:
    found = estimate("gpt2", U280, prompt=128, output=64)
    network = load_network("gpt2")
    macs = 12 * network.layer_macs(128) + network.head_weights
    assert found.first_token.compute_limit == macs / (2 * found.resources.dsp) / 300e6
    assert found.token is not None
    # All weights once a token, at 460 GB/s, and the parameters beside them.
    assert found.token.memory_limit == pytest.approx(network.weights / 460e9, rel=0.03)
    assert found.token.bound == "memory"
    assert found.tokens_a_second == 1 / found.token.seconds
    assert found.joules_a_token == pytest.approx(225 * found.token.seconds)
    assert found.counted
    assert found.later_seconds == pytest.approx(63 * found.token.seconds, rel=0.01)
    assert found.later_error < 0.01
    assert found.seconds == found.first_token.seconds + found.later_seconds


def test_half_the_bits_are_half_the_time_where_memory_is_the_limit() -> None:
    eight, four = (estimate("llama-3.2-1b", U280, weight_bits=bits) for bits in (8, 4))
    assert eight.token is not None
    assert four.token is not None
    assert four.token.memory_limit == pytest.approx(eight.token.memory_limit * 4.0625 / 8, rel=0.02)
    assert four.token.seconds < 0.8 * eight.token.seconds


def test_sequences_in_flight_share_the_weights() -> None:
    one, four = (estimate("llama-3.2-1b", U280, sequences=sequences) for sequences in (1, 4))
    assert one.tokens_a_second < four.tokens_a_second <= 4 * one.tokens_a_second


def test_a_longer_prompt_and_a_longer_context_never_take_less() -> None:
    network = load_network("gpt2")
    design = SpatialDesign(network, choose_geometry(network, 1024, U280.resources, cache_channels=1))
    prompts = [design.prefill(tokens).cycles for tokens in (1, 4, 5, 64, 500, 1024)]
    contexts = [design.decode(tokens).cycles for tokens in (0, 1, 64, 500, 1023)]
    assert prompts == sorted(prompts)
    assert contexts == sorted(contexts)


def test_keys_and_values_with_ports_of_their_own_are_read_beside_the_weights() -> None:
    network, memory = load_network("gpt2"), U280.memory.model_copy(update={"bandwidth_gb_s": 100})
    slow = U280.model_copy(update={"memories": (memory,)})
    spec = choose_geometry(network, 1024, slow.resources, cache_channels=1)
    assert isinstance(spec, DecoderLayerSpec)
    designs = [SpatialDesign(network, replace(spec, cache_channels=count)) for count in (0, 1, 4)]
    assert [design.channels - sum(spec.channels) for design in designs] == [2, 3, 9]
    shared, few, many = (estimate_design(design, slow, Workload(prompt=900, output=124)) for design in designs)
    assert shared.token is not None
    assert few.token is not None
    assert many.token is not None
    read = spec.cache.bytes_read(900 + 62)
    # Two ports bring nothing but keys and values, and the token waits for them.
    assert few.token.seconds == pytest.approx(read / (memory.sustained * 100e9 * 2 / memory.ports))
    # With eight it waits for the weights, of which keys and values are no part; without, for both.
    assert many.decode is not None
    given = memory.sustained * designs[2].bandwidth(memory) * 1e9
    assert many.token.seconds == pytest.approx((many.decode.bytes - read) / given)
    assert shared.token.seconds == pytest.approx(many.decode.bytes / given)


@pytest.mark.parametrize(("prompt", "most"), [(32, 1), (960, 2)])
def test_keys_and_values_off_chip_get_the_ports_that_help(prompt: int, most: int) -> None:
    work = Workload(prompt=prompt, output=32, tile=2)
    designs = candidates(load_network("gpt2"), U280, work)
    spatial = [one for one in designs if isinstance(one, SpatialDesign) and one.cache_bytes]
    assert [one.spec.cache_channels for one in spatial] == [1, 2][:most]
    # Two for each are better than one where a token waits for what these bring.
    assert (spatial[0] is min(spatial, key=lambda one: work_cycles(one, U280, work))) == (most == 1)


def test_a_design_that_does_not_fit_is_estimated_all_the_same() -> None:
    network = load_network("gpt2")
    design = SpatialDesign(network, choose_geometry(network, 192, U280.resources))
    small = load_device("u50")
    found = estimate_design(design, small, Workload(prompt=128, output=64))
    assert not all(constraint.met for constraint in found.constraints)
    assert found.first_token.seconds > 0


def test_all_figures_are_json() -> None:
    found = estimate("tiny-gpt2", U280, prompt=16, output=8)
    again = json.loads(json.dumps(found.as_dict()))
    assert again["model"] == "tiny-gpt2"
    assert again["token"]["seconds"] == found.token.seconds if found.token else None
    assert set(again["constraints"]) >= {"compute", "prompt bandwidth", "memory ports", "crossings", "SLR budget"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": 0}, "prompt must be at least 1 token, not 0"),
        ({"prompt": -5}, "prompt must be at least 1 token, not -5"),
        ({"output": -1}, "output must be at least 0 tokens, not -1"),
        (
            {"prompt": 1000, "output": 100},
            "prompt and output of model 'gpt2' must be at most its 1024 positions, not 1100",
        ),
        ({"sequences": 0}, f"sequences must be 1 to 65,536 ({SEQUENCES.why}), not 0"),
        ({"weight_bits": 5}, "weight-bits must be 8 or 4, not 5"),
        ({"clock_mhz": -1.0}, "clock must be 1 to 1,200 MHz (the DSPs of no FPGA are faster), not -1"),
        ({"tile": 3}, "tile must be 2, 4 or 8 tokens, not 3"),
        (
            {"device": "a100"},
            "estimates are for FPGAs of the families ultrascale+ and versal, not for 'a100', a GPU; "
            "compare takes it with --against",
        ),
        ({"model": "bert-base", "output": 3}, "output of model 'bert-base', an encoder, must be 0 tokens, not 3"),
        (
            {"model": "bert-base", "weight_bits": 4},
            "weight-bits of an encoder must be 8, not 4; only a decoder's may be less",
        ),
    ],
)  # fmt: skip
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    given = {"model": "gpt2", "device": "u280"} | arguments
    with pytest.raises(InputError) as error:
        estimate(given.pop("model"), given.pop("device"), **given)
    assert str(error.value) == message


def test_a_network_that_fits_in_no_way_is_refused_with_the_constraint() -> None:
    memory = U280.memory.model_copy(update={"capacity_gb": 4})
    with pytest.raises(InputError) as error:
        estimate("llama-2-7b", U280.model_copy(update={"memories": (memory,)}))
    text = str(error.value)
    assert text.startswith("model 'llama-2-7b' does not fit device 'u280': memory capacity: 6.")
    assert text.endswith(" GB needed, 4 available")
