"""The sampler: the tokens drawn, bit by bit as in the reference, and to the cycle; the probabilities it gives."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hdl.kernels.tokensampler import TABLE, TokenSampler, TokenSamplerSpec, sampling_factor

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped

SPEC = TokenSamplerSpec(candidates=6, token_bits=7)
SPECS = {
    "six": SPEC,
    "one": TokenSamplerSpec(candidates=1, token_bits=3),
    "64": TokenSamplerSpec(candidates=64, token_bits=16),
}
LOW, HIGH = -(1 << 15), (1 << 15) - 1


def rows(spec: TokenSamplerSpec, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray, tuple[int, int, int]]]:
    """Logits, tokens and how to draw, of several draws: near and far logits, all extremes."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        length = int(rng.integers(1, spec.candidates + 1)) if number else spec.candidates
        spread = int(rng.choice([0, 3, 200, HIGH]))
        logits = np.sort(np.clip(rng.integers(-spread - 1, spread + 1, length), LOW, HIGH))[::-1]
        tokens = rng.integers(0, 1 << spec.token_bits, length)
        factor, shift = sampling_factor(float(rng.choice([1e-4, 0.01, 3.0])), float(rng.choice([0.0, 0.1, 1.0, 50.0])))
        uniform = int(rng.choice([0, (1 << 32) - 1, rng.integers(1 << 32)]))
        found.append((logits, tokens, (factor, shift, uniform)))
    return found


def run(spec: TokenSamplerSpec, given: list[Any], **options: Any) -> StreamResult:
    """Draws; all tokens must be the reference's."""
    factors, shifts, uniforms = np.array([how for *_, how in given], dtype=np.int64).T
    candidates = {
        "token": np.concatenate([tokens for _, tokens, _ in given]),
        "logit": np.concatenate([logits for logits, *_ in given]),
        "last": np.concatenate([np.arange(len(logits)) == len(logits) - 1 for logits, *_ in given]),
    }
    inputs = {"how": {"factor": factors, "shift": shifts, "uniform": uniforms}, "candidates": candidates}
    result = run_streams(TokenSampler(spec), inputs, {"drawn": len(given)}, **options)
    expected = [int(tokens[spec.reference(logits, *how)]) for logits, tokens, how in given]
    assert list(result.outputs["drawn"]) == expected
    return result


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_tokens_equal_the_reference(spec: TokenSamplerSpec, gaps: int | None) -> None:
    run(spec, rows(spec, 12, seed=1), gaps=gaps, timeout=20_000)


def test_emitted_verilog_equals_the_reference() -> None:
    run(SPEC, rows(SPEC, 60, seed=2), gaps=2, simulator="verilator", timeout=100_000)


def test_a_reset_starts_anew() -> None:
    run(SPEC, rows(SPEC, 3, seed=3), gaps=3, reset_at=70, timeout=20_000)


@pytest.mark.parametrize("drawn", range(6))
def test_latency(drawn: int) -> None:
    """All candidates are equally likely; the uniform number chooses one."""
    uniform = ((drawn << 32) + (1 << 31)) // 6
    given = (np.zeros(6, np.int64), np.arange(6), (1 << 15, 0, uniform))
    result = run(SPEC, [given], timeout=20_000)
    assert result.outputs["drawn"] == [drawn]
    assert result.latency("candidates", "drawn", beat=5) == SPEC.latency(drawn)


def test_the_best_is_drawn_at_temperature_0() -> None:
    given = [(np.array([5, 5, 4]), np.array([9, 2, 3]), (*sampling_factor(0.1, 0), (1 << 32) - 1))]
    assert list(run(SPEC, given, timeout=20_000).outputs["drawn"]) == [9]


def test_probabilities() -> None:
    """Over evenly spaced uniform numbers, tokens come with the probabilities of the softmax."""
    logits, scale, temperature = np.array([900, 700, 650, 0]), 0.01, 0.8
    factor, shift = sampling_factor(scale, temperature)
    count = 1 << 12
    drawn = [SPEC.reference(logits, factor, shift, (i << 32) // count) for i in range(count)]
    expected = np.exp((logits - logits[0]) * scale / temperature)
    assert np.abs(np.bincount(drawn, minlength=4) / count - expected / expected.sum()).max() < 0.002


@pytest.mark.parametrize(("scale", "temperature"), [(1e-6, 100.0), (1e-3, 1.0), (0.3, 0.7), (5.0, 1e-320), (1.0, 1e-9)])
def test_the_factor_is_that_of_the_temperature(scale: float, temperature: float) -> None:
    factor, shift = sampling_factor(scale, temperature)
    assert 1 <= factor < 1 << 16
    assert 0 <= shift < 64
    if temperature > 1e-300:
        exact = min(np.log2(np.e) * scale / temperature * 1024, (1 << 16) - 1)
        assert factor / 2**shift == pytest.approx(exact, rel=2**-15)


def test_the_table() -> None:
    assert (TABLE[0], TABLE[512], len(TABLE)) == (65536, 46341, 1024)
    assert all(one >= other for one, other in pairwise(TABLE))


@pytest.mark.parametrize("name", ["candidates", "token_bits"])
def test_sizes_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError) as error:
        TokenSamplerSpec(**{"candidates": 2, "token_bits": 2, name: 0})
    assert str(error.value) == f"sampler {name} must be at least 1, not 0"


def test_resources() -> None:
    assert_mapped((TokenSampler(spec), spec.resources) for spec in (SPECS["64"],))
