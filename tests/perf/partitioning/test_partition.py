"""Several devices: transfers, shares, balance, and that all of the devices' time is accounted for."""

from dataclasses import replace
from typing import Any

import pytest

from hdl.bounds import SEQUENCES
from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.model.network import Network
from hdl.perf import Device, Workload, estimate, estimate_design, load_device, partition, scaling
from hdl.perf.choice.best_geometry import choose_geometry
from hdl.perf.choice.estimated import estimated_design
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import Link
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec
from hdl.perf.partitioning.device_split import (
    BUBBLES,
    CAUSES,
    COMPUTE,
    DIVISIBILITY,
    LINK_BANDWIDTH,
    LINK_LATENCY,
    MEMORY,
    ON_CHIP,
    DeviceSplit,
    lost,
)
from hdl.perf.partitioning.divide import Splits
from hdl.perf.partitioning.share import (
    DeviceStage,
    Place,
    Transfer,
    all_gather,
    all_reduce,
    links,
    send,
    share,
    tensors,
)

LINK = Link(name="a link", bandwidth_gb_s=10, latency_us=2)

LLAMA = load_network("llama-2-7b")

NARROW = replace(LLAMA, name="narrow", layers=8, vocabulary=1024)
"""A quarter of Llama-2-7B with hardly a head."""


def with_memory(gigabytes: float) -> Device:
    """A U280 with another capacity."""
    device = load_device("u280")
    memory = device.memory.model_copy(update={"capacity_gb": gigabytes})
    return device.model_copy(update={"name": "small", "memories": (memory,)})


def with_link(**figures: float) -> Device:
    """A U280 with another link."""
    device = load_device("u280")
    return device.model_copy(update={"name": "linked", "links": (device.links[0].model_copy(update=figures),)})


IDEAL = with_link(bandwidth_gb_s=1e9, latency_us=1e-9)
"""Links that cost nothing."""


def test_transfers_are_those_of_a_ring() -> None:
    # 2 (n - 1) messages of 2 us; 2 (n - 1) / n of 1 MB at 10 GB/s
    assert all_reduce(1e6, 4, LINK) == pytest.approx((6 * 2e-6, 1.5 * 1e6 / 10e9))
    assert all_gather(1e6, 4, LINK) == pytest.approx((3 * 2e-6, 0.75 * 1e6 / 10e9))
    assert send(1e6, LINK) == pytest.approx((2e-6, 1e-4))
    assert all_reduce(1e6, 1, LINK).seconds == 0


def test_a_stage_sends_what_its_layers_and_its_place_ask_for() -> None:
    activations = 5 * 4096 * 2
    middle = links(LLAMA, LINK, Place(3, 4, first=False, last=False), 5, 1)
    assert middle.seconds == pytest.approx(
        6 * all_reduce(activations, 4, LINK).seconds + send(activations, LINK).seconds
    )
    last = links(LLAMA, LINK, Place(3, 1, first=False, last=True), 5, 5)
    assert last == pytest.approx(send(5 * 4, LINK))
    whole = links(LLAMA, LINK, Place(32, 2, first=True, last=True), 1, 1)
    parts = [
        64 * all_reduce(8192, 2, LINK).seconds,
        all_gather(8192, 2, LINK).seconds,
        all_gather(64000, 2, LINK).seconds,
    ]
    assert whole.seconds == pytest.approx(sum(parts))
    assert links(LLAMA, LINK, Place(32, 1, first=True, last=True), 5, 1).seconds == 0


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.2-1b", "gpt2"])
def test_shares_add_up_to_the_network(model: str) -> None:
    network = load_network(model)
    tensor = tensors(network)[1]
    half = network.layers // 2
    first = share(network, layers=half, tensor=tensor, first=True, last=False)
    last = share(network, layers=network.layers - half, tensor=tensor, first=False, last=True)
    assert tensor * (first.weights + last.weights) == pytest.approx(network.weights, rel=1e-4)
    tied = network.head_weights if network.tied else 0  # a tied head is a matrix of its own on another device
    assert tensor * (first.parameters + last.parameters) == pytest.approx(network.parameters + tied, rel=1e-4)
    assert first.head_weights == 0
    macs = tensor * (first.layers * first.layer_macs(7, 9) + last.layers * last.layer_macs(7, 9))
    assert macs == network.layers * network.layer_macs(7, 9)
    assert share(network, layers=network.layers, tensor=1, first=True, last=True) is network


def test_more_devices_than_key_and_value_heads_have_copies() -> None:
    network = load_network("llama-3.2-1b")
    assert share(network, layers=16, tensor=16, first=True, last=True).kv_heads == 1
    assert tensors(network) == [1, 2, 4, 8, 16, 32]
    assert tensors(load_network("smollm2-135m")) == [1, 3, 9]
    assert tensors(load_network("bert-base")) == [1]


@pytest.mark.parametrize("options", [{}, {"sequences": 8, "weight_bits": 4, "prompt": 100, "output": 9}, {"output": 0}])
def test_one_device_is_the_estimate(options: dict[str, Any]) -> None:
    one, found = partition(LLAMA, "u280", 1, **options), estimate(LLAMA, "u280", **options)
    assert (one.tensor, one.pipeline, one.layers) == (1, 1, (32,))
    assert one.first_token_seconds == found.first_token.seconds
    assert one.token_seconds == (found.token and found.token.seconds)
    # A partition takes every token to be as long as the one in the middle.
    assert one.seconds == pytest.approx(found.seconds, rel=1e-3)
    assert one.tokens_a_second == pytest.approx(found.tokens_a_second)
    assert one.joules_a_token == pytest.approx(found.joules_a_token)
    assert (one.speedup, one.efficiency) == (1, 1)


def test_layers_are_balanced_and_the_head_is_last() -> None:
    work = Workload(prompt=1, output=128, sequences=1)
    even = split(NARROW, 3, work)
    assert [stage.layers for stage in even.stages] == [3, 3, 2]
    assert [stage.layers for stage in split(NARROW, 5, work).stages] == [2, 2, 2, 1, 1]
    # A head as large as four layers: twelve in all, six for each stage.
    layer = LLAMA.layer_weights
    headed = split(replace(NARROW, vocabulary=4 * layer // LLAMA.hidden), 2, work)
    assert [stage.layers for stage in headed.stages] == [6, 2]
    assert headed.stages[0].token_seconds == pytest.approx(headed.stages[1].token_seconds, rel=0.05)


def split(network: Network, pipeline: int, work: Workload) -> DeviceSplit:
    """The network in so many stages of a device each."""
    found = Splits(network, IDEAL, IDEAL.links[0], work).split(1, pipeline)
    assert isinstance(found, DeviceSplit)
    return found


def test_all_time_is_accounted_for() -> None:
    for one in scaling(NARROW, "u280", 6, sequences=4, tile=4):
        assert sum(one.losses.values()) == pytest.approx(1 - one.efficiency, abs=1e-9)
        assert one.tensor * one.pipeline <= one.devices
        assert sum(one.layers) == NARROW.layers
        assert one.reason in CAUSES
        assert one.efficiency <= 1.005 or one.reason == ON_CHIP
        assert one.joules_a_token == pytest.approx(225 * one.devices / one.tokens_a_second)


def test_more_devices_are_never_slower() -> None:
    found = scaling(NARROW, "u280", 8, tile=4)
    assert [one.devices for one in found] == [1, 2, 3, 4, 6, 8]
    times = [one.seconds for one in found]
    assert times == sorted(times, reverse=True)


def test_throughput_follows_the_sequences_in_flight() -> None:
    """Up to as many sequences as stages; further ones share groups."""

    def rate(sequences: int, pipeline: int) -> float:
        token = split(NARROW, pipeline, Workload(prompt=1, output=128, sequences=sequences)).token
        assert token is not None
        return sequences / token

    alone = rate(1, 1)
    assert rate(1, 4) == pytest.approx(alone, rel=0.01)
    assert rate(2, 4) == pytest.approx(2 * alone, rel=0.01)
    assert rate(4, 4) == pytest.approx(4 * alone, rel=0.05)
    four = split(NARROW, 4, Workload(prompt=1, output=128, sequences=12))
    seconds = [stage.token_seconds for stage in four.stages]
    assert (four.group, four.groups) == (3, 4)
    assert four.token == max(sum(seconds), 4 * max(seconds))
    assert four.prompts == four.first_token + 11 * max(stage.prompt_seconds for stage in four.stages)


def reason(device: Device, devices: int, **options: Any) -> str:
    """What bends the curve of the narrow network there."""
    return partition(NARROW, device, devices, **options).reason


def test_reasons_follow_from_the_parts_of_the_time() -> None:
    assert reason(load_device("u280"), 1) == MEMORY
    assert reason(with_link(latency_us=20), 2, tensor=2) == LINK_LATENCY
    assert reason(with_link(bandwidth_gb_s=0.05), 2, tensor=2) == LINK_BANDWIDTH
    assert reason(IDEAL, 2, tensor=1) == BUBBLES
    # Every group of sequences reads the weights anew.
    assert reason(IDEAL, 2, tensor=1, sequences=2, prompt=1, output=100) == MEMORY
    # Eight layers in six stages of two or one are no faster than in four of two.
    assert reason(IDEAL, 6, tensor=1, sequences=48, output=0) == DIVISIBILITY
    lone = partition(replace(NARROW, layers=1), IDEAL, 3, tensor=2)
    assert (lone.tensor, lone.pipeline, lone.reason) == (2, 1, DIVISIBILITY)


def test_memory_of_llama_2_7b() -> None:
    one = partition(LLAMA, "u280", 1, tile=4)
    needed = {limit.name: limit.needed for limit in one.split.stages[0].estimate.constraints}
    assert needed["memory capacity"] == pytest.approx(6.79, rel=0.01)
    small = with_memory(5)
    with pytest.raises(InputError) as refusal:
        partition(LLAMA, small, 1, tile=4)
    text = "model 'llama-2-7b' does not fit device 'small': memory capacity: 6.78848 GB needed, 5 available"
    assert str(refusal.value) == f"{text}; more devices may hold it"
    two = partition(LLAMA, small, 2, tile=4)
    assert (two.least, two.speedup, two.efficiency) == (2, 2, 1)
    assert [one.devices for one in scaling(LLAMA, small, 4, tile=4)] == [2, 3, 4]


def test_keys_and_values_of_all_sequences_are_in_memory() -> None:
    # Half of 1.6 GB of weights, and of 0.8 GB of keys and values: 64 sequences of 192 tokens; 32 are decoded at once.
    with pytest.raises(InputError, match="memory capacity: .*, for the smallest share on 2 devices; more devices"):
        partition(NARROW, with_memory(1.15), 2, sequences=64, tile=4)
    assert partition(NARROW, with_memory(1.3), 2, sequences=64, tile=4).least == 2


def test_a_cache_on_chip_holds_one_sequence() -> None:
    network, device = load_network("tiny-gpt2"), load_device("u280")
    work = Workload(prompt=64, output=32, held=3, tile=4)
    several = estimate_design(estimated_design(network, device, work), device, work)
    assert several.design.cache_bytes > 0
    needed = {limit.name: limit.needed for limit in several.constraints}["memory capacity"]
    assert needed == (network.parameters + 3 * several.design.cache_bytes) / 1e9


def test_what_newly_fits_on_chip_is_a_gain() -> None:
    """Keys and values of one layer are in UltraRAM, those of two in a slow memory."""
    shape = {"layers": 2, "hidden": 32, "heads": 2, "kv_heads": 2, "head_size": 16, "intermediate": 128}
    network = replace(load_network("tiny-gpt2"), **shape, max_positions=128, vocabulary=260)
    device = load_device("u280")
    device = device.model_copy(update={"memories": (device.memory.model_copy(update={"bandwidth_gb_s": 0.1}),)})
    spec = choose_geometry(network, 128, device.resources, rows=4, cache_channels=1)
    assert isinstance(spec, DecoderLayerSpec)
    spec = replace(spec, cache_channels=0)  # keys and values come through the channels of the weights
    halves = replace(spec, max_layers=1, cache_on_chip=True)

    def stages(spec: DecoderLayerSpec, layers: int, count: int) -> DeviceSplit:
        design = SpatialDesign(replace(network, layers=layers), spec)
        found = estimate_design(design, device, Workload(prompt=64, output=64))
        one = DeviceStage(layers=layers, tensor=1, estimate=found, prompt_links=Transfer(), token_links=Transfer())
        return DeviceSplit(1, (one,) * count, 1, 1)

    off, on = stages(spec, 2, 1), stages(halves, 1, 2)
    gains = lost(on, off)
    assert gains[ON_CHIP] < -0.05 * off.seconds
    assert gains[COMPUTE] == gains[MEMORY] == 0
    assert lost(on, on)[ON_CHIP] == 0


def test_an_encoder_is_divided_by_layers_alone() -> None:
    found = partition("tiny-bert", "u280", 2, sequences=8, tile=4)
    assert found.tensor == 1
    assert found.token_seconds is None
    alone = partition("tiny-bert", "u280", 1, sequences=8, tile=4)
    assert (
        found.tokens_a_second
        >= alone.tokens_a_second
        == pytest.approx(estimate("tiny-bert", "u280", tile=4).tokens_a_second)
    )


def test_limits_of_one_device_hold_on_all() -> None:
    for stage in split(LLAMA, 3, Workload(prompt=128, output=64, sequences=4)).stages:
        assert all(limit.met for limit in stage.estimate.constraints)
        token = stage.estimate.decode
        assert token is not None
        assert stage.estimate.token is not None
        assert stage.estimate.token.seconds >= token.bytes / 460e9 * (1 - 1e-9)


def test_figures_are_those_of_the_dictionary() -> None:
    found = partition(NARROW, "u280", 2)
    written = found.as_dict()
    assert (written["tensor"], written["pipeline"], written["layers"]) == (found.tensor, found.pipeline, found.layers)
    assert written["speedup"] == found.speedup == 2 * found.efficiency


@pytest.mark.parametrize(
    ("model", "device", "devices", "options", "message"),
    [
        ("gpt2", "u280", 0, {}, "devices must be 1 to 64 (larger rings are not estimated), not 0"),
        ("gpt2", "u280", 65, {}, "devices must be 1 to 64 (larger rings are not estimated), not 65"),
        (
            "gpt2", "vhk158", 2, {},
            "device 'vhk158' must have links to others, but none are known; choose one with links",
        ),
        (
            "gpt2", "u280", 8, {"tensor": 5},
            "tensor must divide the 12 heads of model 'gpt2' and its 12 kv_heads, not 5; possible: 1, 2, 3, 4, 6, 12",
        ),
        (
            replace(load_network("llama-3.2-1b"), name="odd", heads=24), "u280", 8, {"tensor": 6},
            "tensor must divide the 24 heads of model 'odd' and its 8 kv_heads, not 6; possible: 1, 2, 4, 8, 24",
        ),
        ("gpt2", "u280", 8, {"tensor": 0}, "tensor must be at least 1 device, not 0"),
        ("gpt2", "u280", 2, {"tensor": 4}, "devices must be at least 4, the devices that divide a layer, not 2"),
        (
            "bert-base", "u280", 2, {"tensor": 2},
            "tensor of model 'bert-base', an encoder, must be 1, not 2; divide it by layers",
        ),
        ("gpt2", "u280", 2, {"prompt": 0}, "prompt must be at least 1 token, not 0"),
        ("gpt2", "u280", 2, {"sequences": 0}, f"sequences must be 1 to 65,536 ({SEQUENCES.why}), not 0"),
        ("gpt2", "u280", 2, {"weight_bits": 5}, "weight-bits must be 8 or 4, not 5"),
        (
            "gpt2", "t4", 2, {},
            "estimates are for FPGAs of the families ultrascale+ and versal, not for 't4', a GPU; "
            "compare takes it with --against",
        ),
    ],
)  # fmt: skip
def test_mistakes(model: str | Network, device: str, devices: int, options: dict[str, Any], message: str) -> None:
    for asked in (partition, scaling):
        with pytest.raises(InputError) as error:
            asked(model, device, devices, **options)
        assert str(error.value) == message
