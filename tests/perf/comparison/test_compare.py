"""Comparisons: maps of who wins follow from both estimates, and mistakes are told."""

import json
from typing import Any

import pytest

from hdl.bounds import SEQUENCES
from hdl.errors import InputError
from hdl.perf import Comparison, Workload, compare, devices, estimate_design, estimate_gpu, load_device
from hdl.perf.comparison.compare import METRICS, lengths

FPGAS = ", ".join(name for name in devices() if load_device(name).kind == "fpga")


@pytest.fixture(scope="module")
def tiny() -> Comparison:
    """A map that takes little time."""
    return compare("tiny-gpt2", "u280", "a100")


def test_lengths() -> None:
    assert lengths(1024) == (16, 32, 64, 128, 256, 512, 1024)
    assert lengths(40) == (16, 32)
    assert lengths(9) == (1, 2, 4, 8)
    assert lengths(1) == (1,)


def test_a_point_is_both_estimates(tiny: Comparison) -> None:
    prompt, output = tiny.prompts[-1], tiny.outputs[0]
    point = tiny.at(prompt, output)
    assert point is not None
    ours = estimate_design(
        point.ours.design, load_device("u280"), Workload(prompt=prompt, output=output), counted=False
    )
    theirs = estimate_gpu("tiny-gpt2", "a100", prompt=prompt, output=output)
    assert (point.ours.seconds, point.theirs.seconds) == (ours.seconds, theirs.seconds)
    assert point.figures("latency") == (ours.seconds, theirs.seconds)
    assert point.ratio("latency") == theirs.seconds / ours.seconds
    assert point.figures("throughput") == (ours.tokens_a_second, theirs.tokens_a_second)
    assert point.ratio("throughput") == ours.tokens_a_second / theirs.tokens_a_second
    assert point.figures("energy") == (ours.watts * ours.seconds / output, theirs.watts * theirs.seconds / output)
    for metric in METRICS:
        assert point.winner(metric) == ("u280" if point.ratio(metric) >= 1 else "a100")


def test_a_map_has_all_pairs_that_fit_the_model(tiny: Comparison) -> None:
    positions = tiny.network.max_positions
    pairs = {(point.prompt, point.output) for point in tiny.points}
    every = [(prompt, output) for prompt in lengths(positions) for output in lengths(positions)]
    assert pairs == {pair for pair in every if sum(pair) <= positions}
    assert tiny.at(positions, positions) is None
    # One bitstream for all of them.
    assert len({id(point.ours.design) for point in tiny.points}) == 1


def test_all_figures_are_json(tiny: Comparison) -> None:
    again = json.loads(json.dumps(tiny.as_dict()))
    assert (again["model"], again["device"], again["against"]) == ("tiny-gpt2", "u280", "a100")
    assert len(again["points"]) == len(tiny.points)
    first = again["points"][0]
    assert first["latency"]["winner"] in ("u280", "a100")
    assert first["latency"]["ratio"] == first["latency"]["a100"] / first["latency"]["u280"]
    for metric in METRICS:
        assert again["wins"][metric] == tiny.wins(metric)
    assert set(again["sources"]) == {"compute", "memory", "launch_seconds"}


def test_an_encoder_has_no_output() -> None:
    found = compare("tiny-bert", "u280", "t4", max_length=32)
    assert found.outputs == (0,)
    assert found.prompts == (16, 32)
    point = found.points[0]
    assert point.figures("energy")[0] == pytest.approx(point.ours.watts * point.ours.seconds / 16)


def test_lengths_that_are_asked_for_need_a_pair() -> None:
    found = compare("tiny-gpt2", "u280", "a100", prompts=[16], max_length=64)
    assert [(point.prompt, point.output) for point in found.points] == [(16, 16), (16, 32)]
    for asked in ({"prompts": [16, 60]}, {"outputs": [60]}):
        with pytest.raises(InputError) as error:
            compare("tiny-gpt2", "u280", "a100", max_length=64, **asked)
        assert str(error.value) == "prompt and output of model 'tiny-gpt2' must be at most 64 tokens together, not 76"


def test_launching_one_by_one_only_helps_the_fpga() -> None:
    captured, eager = (
        compare("tiny-gpt2", "u280", "a100", prompts=[16], outputs=[16], software=one) for one in ("captured", "eager")
    )
    for metric in METRICS:
        assert eager.points[0].ratio(metric) > captured.points[0].ratio(metric)
    assert "eager" in eager.assumptions
    assert "326 us per layer to launch kernels" in eager.assumptions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "a100"}, f"device must be an FPGA, not a GPU as 'a100'; known: {FPGAS}"),
        ({"against": "u50"}, "against must be a GPU, not an FPGA as 'u50'; known: a100, h100, rtx2080ti, t4"),
        ({"device": "u20"}, f"device 'u20' is unknown, did you mean 'u280'?; known: {', '.join(devices())}"),
        ({"against": "b200"}, f"device 'b200' is unknown; known: {', '.join(devices())}"),
        (
            {"device": "s10nx"},
            "estimates are for FPGAs of the families ultrascale+ and versal, not for 's10nx', "
            "of the family stratix10nx",
        ),
        ({"max_length": 1025}, "max-length must be 2 to 1024, the positions of model 'gpt2', not 1025"),
        ({"max_length": 1}, "max-length must be 2 to 1024, the positions of model 'gpt2', not 1"),
        (
            {"prompts": [1000], "outputs": [25]},
            "prompt and output of model 'gpt2' must be at most 1024 tokens together, not 1025",
        ),
        ({"number_format": "fp4"}, "format of device 'a100' must be int8 or fp16 or bf16, not 'fp4'"),
        ({"software": "fast"}, "software of a GPU must be captured or eager, not 'fast'"),
        ({"sequences": 0}, f"sequences must be 1 to 65,536 ({SEQUENCES.why}), not 0"),
        ({"weight_bits": 3}, "weight-bits must be 8 or 4, not 3"),
        ({"clock_mhz": 0.0}, "clock must be 1 to 1,200 MHz (the DSPs of no FPGA are faster), not 0"),
        (
            {"model": "bert-base", "outputs": [4], "prompts": [16]},
            "output of model 'bert-base', an encoder, must be 0 tokens, not 4",
        ),
        ({"prompts": [0], "outputs": [4]}, "prompt must be at least 1 token, not 0"),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    given = {"model": "gpt2", "device": "u280", "against": "a100"} | arguments
    with pytest.raises(InputError) as error:
        compare(given.pop("model"), given.pop("device"), given.pop("against"), **given)
    assert str(error.value) == message
