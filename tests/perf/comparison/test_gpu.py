"""GPUs: the roofline by hand, what the published figures say of it, and mistakes."""

import json
from typing import Any

import pytest

from hdl.bounds import SEQUENCES
from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf import devices, estimate_gpu, load_device
from hdl.perf.comparison.gpu import SOFTWARE

GPUS = [name for name in devices() if load_device(name).kind == "gpu"]


def test_the_roofline_by_hand() -> None:
    network = load_network("gpt2-medium")
    found = estimate_gpu("gpt2-medium", "a100", prompt=512, output=64)
    weights = 24 * 12 * 1024**2 + 1024 * 50257
    assert network.weights == weights
    macs = 24 * (512 * 12 * 1024**2 + 2 * 1024 * 512 * 513 // 2) + 1024 * 50257
    assert found.first_token.compute_limit == pytest.approx(2 * macs / 312e12)
    # A key and a value of 1,024 features of two bytes, for each token and layer.
    assert found.first_token.memory_limit == pytest.approx((2 * weights + 512 * 24 * 4096) / 1555e9)
    assert found.first_token.bound == "compute"
    assert found.first_token.seconds == pytest.approx(2 * macs / 312e12 / 0.5 + 24 * 10e-6)
    assert found.token is not None
    assert found.token.memory_limit == pytest.approx((2 * weights + 544 * 24 * 4096) / 1555e9)
    assert found.token.seconds == pytest.approx(found.token.memory_limit / 0.88 + 24 * 10e-6)
    assert found.token.bound == "memory"
    assert found.tokens_a_second == 1 / found.token.seconds
    assert found.seconds == found.first_token.seconds + 63 * found.token.seconds
    assert found.joules_a_token == pytest.approx(250 * found.token.seconds)


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("number_format", ["fp16", "int8"])
def test_every_gpu_is_within_its_limits(device: str, number_format: str) -> None:
    for model, output in (("bert-base", 0), ("gpt2", 64), ("llama-3.2-1b", 64)):
        found = estimate_gpu(model, device, output=output, number_format=number_format)
        for timing in (found.first_token, found.token):
            if timing is not None:
                assert 0 < timing.ratio < 1
        assert (found.token is None) == (model == "bert-base")


def test_int8_halves_the_weights() -> None:
    half, whole = (estimate_gpu("llama-2-7b", "a100", number_format=one).token for one in ("int8", "fp16"))
    assert half is not None
    assert whole is not None
    assert half.memory_limit == pytest.approx(whole.memory_limit / 2, rel=0.02)


def test_sequences_share_the_weights() -> None:
    one, many = (estimate_gpu("gpt2-medium", "a100", sequences=sequences) for sequences in (1, 16))
    assert 8 * one.tokens_a_second < many.tokens_a_second < 16 * one.tokens_a_second


def test_eager_launches_give_the_tokens_a_second_that_they_are_derived_from() -> None:
    found = estimate_gpu("gpt2-medium", "a100", prompt=32, output=32, software="eager")
    assert found.tokens_a_second == pytest.approx(204 / 1.7, rel=0.01)


def test_every_efficiency_says_where_it_comes_from() -> None:
    for efficiency in SOFTWARE.values():
        assert set(efficiency.sources) == {"compute", "memory", "launch_seconds"}
        for source in efficiency.sources.values():
            assert source.split(":")[0].split(",")[0] in ("assumption", "measured", "derived")


def test_all_figures_are_json() -> None:
    found = estimate_gpu("gpt2", "t4")
    again = json.loads(json.dumps(found.as_dict()))
    assert (again["model"], again["device"], again["format"], again["output"]) == ("gpt2", "t4", "fp16", 64)
    assert again["tokens_a_second"] == found.tokens_a_second
    assert again["token"]["bound"] == "memory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "u280"}, "device 'u280' must be a GPU, not an FPGA; known: a100, h100, rtx2080ti, t4"),
        ({"device": "a10"}, f"device 'a10' is unknown, did you mean 'a100'?; known: {', '.join(devices())}"),
        ({"device": "t4", "number_format": "bf16"}, "format of device 't4' must be int8 or fp16, not 'bf16'"),
        ({"number_format": "fp8"}, "format of device 'a100' must be int8 or fp16 or bf16, not 'fp8'"),
        ({"software": "fast"}, "software of a GPU must be captured or eager, not 'fast'"),
        ({"prompt": 0}, "prompt must be at least 1 token, not 0"),
        ({"output": -1}, "output must be at least 0 tokens, not -1"),
        ({"sequences": 0}, f"sequences must be 1 to 65,536 ({SEQUENCES.why}), not 0"),
        (
            {"prompt": 1000, "output": 25},
            "prompt and output of model 'gpt2' must be at most its 1024 positions, not 1025",
        ),
        ({"model": "bert-base", "output": 1}, "output of model 'bert-base', an encoder, must be 0 tokens, not 1"),
        (
            {"model": "llama-2-7b", "device": "rtx2080ti"},
            "model 'llama-2-7b' in fp16 must be at most the 11 GB of device 'rtx2080ti', with its keys and values, not "
            "13.6 GB",
        ),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    given = {"model": "gpt2", "device": "a100"} | arguments
    with pytest.raises(InputError) as error:
        estimate_gpu(given.pop("model"), given.pop("device"), **given)
    assert str(error.value) == message
