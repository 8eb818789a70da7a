"""Serial arithmetic: every result exact, after the stated number of cycles, held until it is taken."""

from math import isqrt

import numpy as np
import pytest

from hdl.serial import Divider, Normalise, SquareRoot, divide_latency, normalise_latency, root_latency

from .harness import run_streams


def operands(bits: int, count: int, seed: int) -> list[int]:
    """Unsigned integers of all magnitudes, the extremes first."""
    rng = np.random.default_rng(seed)
    top = (1 << bits) - 1
    random = rng.integers(0, top, count, endpoint=True) >> rng.integers(0, bits, count)
    return [0, 1, top, top - 1, 1 << bits - 1, *map(int, random)]


def divisions(numerator_bits: int, denominator_bits: int, quotient_bits: int) -> dict[str, list[int]]:
    """Operands whose quotients fit."""
    pairs = [
        (n, d)
        for n, d in zip(operands(numerator_bits, 80, 1), operands(denominator_bits, 80, 2)[::-1], strict=True)
        if n >> quotient_bits < d
    ]
    numerator, denominator = (1 << numerator_bits) - 1, (1 << denominator_bits) - 1
    pairs += [(0, 1), (min(numerator, (1 << quotient_bits) - 1), 1)]
    pairs += [(min(numerator, (denominator << quotient_bits) - 1), denominator)]
    return {"numerator": [n for n, _ in pairs], "denominator": [d for _, d in pairs]}


@pytest.mark.parametrize("gaps", [None, 3])
@pytest.mark.parametrize("bits", [(34, 18, 17), (24, 16, 18), (5, 3, 2), (9, 1, 8)])
def test_division(bits: tuple[int, int, int], gaps: int | None) -> None:
    divider, pairs = Divider(*bits), divisions(*bits)
    count = len(pairs["numerator"])
    result = run_streams(divider, {"input": pairs}, {"output": count}, gaps=gaps)
    expected = [n // d for n, d in zip(pairs["numerator"], pairs["denominator"], strict=True)]
    assert result.outputs["output"] == expected


@pytest.mark.parametrize("gaps", [None, 4])
@pytest.mark.parametrize("bits", [2, 8, 36])
def test_square_root(bits: int, gaps: int | None) -> None:
    radicands = list(range(256)) if bits == 8 else operands(bits, 60, 5)
    radicands += [r * r - 1 for r in (1 << bits // 2 - 1, (1 << bits // 2) - 1)]
    result = run_streams(SquareRoot(bits), {"input": radicands}, {"output": len(radicands)}, gaps=gaps)
    assert result.outputs["output"] == [isqrt(n) for n in radicands]


@pytest.mark.parametrize("gaps", [None, 6])
@pytest.mark.parametrize(("bits", "multiple"), [(16, 1), (52, 2), (38, 2), (13, 1), (2, 2), (1, 1)])
def test_normalisation(bits: int, multiple: int, gaps: int | None) -> None:
    values = operands(bits, 40, 7) + [1 << k for k in range(bits)]
    result = run_streams(Normalise(bits, multiple), {"input": values}, {"output": len(values)}, gaps=gaps)
    for value, normalised, shift in zip(values, *result.outputs["output"].values(), strict=True):
        assert shift % multiple == 0
        assert normalised == value << int(shift)
        assert value == 0 or normalised >> (bits - multiple) in range(1, 1 << multiple)


@pytest.mark.parametrize(
    ("unit", "payload", "latency"),
    [
        (Divider(34, 18, 17), {"numerator": [1] * 3, "denominator": [7] * 3}, divide_latency(17)),
        (SquareRoot(36), [5] * 3, root_latency(36)),
        (Normalise(52, 2), [5] * 3, normalise_latency(52, 2)),
    ],
)
def test_latency_is_as_stated(unit: Divider | SquareRoot | Normalise, payload: list[int], latency: int) -> None:
    assert unit.latency == latency
    result = run_streams(unit, {"input": payload}, {"output": 3})
    assert result.latency("input", "output") == latency
    # The next operands are taken the cycle after the result.
    assert (result.accepted["input"][1:] == result.accepted["output"][:-1] + 1).all()


def test_a_reset_starts_anew() -> None:
    result = run_streams(SquareRoot(16), {"input": [100, 65535]}, {"output": 2}, reset_at=5)
    assert result.outputs["output"] == [10, 255]


def test_emitted_verilog_divides() -> None:
    pairs = {"numerator": [100, 255, 0], "denominator": [7, 16, 1]}
    result = run_streams(Divider(8, 5, 5), {"input": pairs}, {"output": 3}, gaps=8, simulator="verilator")
    assert result.outputs["output"] == [14, 15, 0]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        SquareRoot(7)
    assert str(error.value) == "square root radicand must have an even number of bits, not 7"
    with pytest.raises(ValueError) as error:
        Normalise(7, 2)
    assert str(error.value) == "normalised value must have a multiple of 2 bits, not 7"
