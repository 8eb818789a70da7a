"""Readers at one port: each gets what it asked for, in its order, and none waits where nobody is before it."""

from typing import Any

import numpy as np
import pytest

from hdl.kernels.readarbiter import ReadArbiter, ReadArbiterSpec

from ..harness import run_streams
from ..synthesis import assert_mapped
from .channel import OnChannel

SPECS = {
    "two": ReadArbiterSpec(bases=(0, 1 << 20), outstanding=2),
    "three": ReadArbiterSpec(bases=(5, 0, 77), outstanding=16),
}


def requests(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and beats of a reader's requests, single beats and the longest burst among them."""
    rng = np.random.default_rng(seed)
    beats = rng.integers(1, 9, count)
    beats[:2] = 1, 256
    return rng.integers(0, 1 << 20, count), beats


def run(spec: ReadArbiterSpec, asked: list[tuple[np.ndarray, np.ndarray]], **options: Any) -> Any:
    """All that comes back; memory's beats are numbered."""
    total = sum(int(beats.sum()) for _, beats in asked)
    inputs: dict[str, Any] = {"response": np.arange(total)}
    wanted = {"requests": sum(len(beats) for _, beats in asked)}
    for reader, (address, beats) in enumerate(asked):
        inputs[f"asked__{reader}"] = {"address": address, "beats": beats}
        wanted[f"found__{reader}"] = int(beats.sum())
    return run_streams(ReadArbiter(spec), inputs, wanted, **options)


@pytest.mark.parametrize("gaps", [None, 3])
@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_each_reader_gets_what_it_asked_for(spec: ReadArbiterSpec, simulator: str, gaps: int | None) -> None:
    asked = [requests(5 + reader, seed=reader) for reader in range(len(spec.bases))]
    result = run(spec, asked, simulator=simulator, gaps=gaps)
    sent = result.outputs["requests"]
    found = [list(result.outputs[f"found__{reader}"]) for reader in range(len(asked))]
    left = [list(zip(*pairs, strict=True)) for pairs in asked]
    next_beat = 0
    for address, beats in zip(sent["address"], sent["beats"], strict=True):
        # Whose request it is shows in who gets its beats.
        (reader,) = (i for i, beats_of in enumerate(found) if beats_of and beats_of[0] == next_beat)
        assert left[reader].pop(0) == (address - spec.bases[reader], beats)
        assert found[reader][:beats] == list(range(next_beat, next_beat + beats))
        del found[reader][:beats]
        next_beat += beats
    assert not any(left)
    assert not any(found)


@pytest.mark.parametrize("latency", [1, 5])
def test_latency_and_precedence(latency: int) -> None:
    spec = SPECS["two"]
    one = {"address": [3], "beats": [1]}
    inputs = {"asked__0": one, "asked__1": one, "response": [0, 1]}
    component = OnChannel(ReadArbiter(spec), response="response", latency=latency)
    result = run_streams(component, inputs, {"requests": 2, "found__0": 1, "found__1": 1})
    assert result.latency("asked__0", "requests") == spec.request_latency
    assert list(result.outputs["requests"]["address"]) == [3, 3 + (1 << 20)]
    assert result.latency("response", "found__0") == spec.beat_latency
    assert result.latency("asked__0", "found__0") == spec.latency + latency


def test_refusals() -> None:
    with pytest.raises(ValueError, match="read arbiter must have at least 2 readers, not 1"):
        ReadArbiterSpec(bases=(0,))
    with pytest.raises(ValueError, match="read arbiter must let at least 2 requests be on their way, not 1"):
        ReadArbiterSpec(bases=(0, 0), outstanding=1)


def test_resources_are_those_of_synthesis() -> None:
    spec = SPECS["three"]
    assert_mapped([(ReadArbiter(spec), spec.resources)])
