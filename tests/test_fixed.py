"""Rounding and saturation: the numpy functions against plain integers, the hardware against the numpy functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.sim import Simulator

from hdl.fixed import VariableShift, bit_length, limits, round_shift, rounded_shift, saturate, saturated


def exact(x: int, shift: int) -> int:
    """Rounding half up, in Python's integers."""
    return (2 * x + (1 << shift)) >> (shift + 1)


def values_of(shape: Shape) -> range:
    low, high = limits(shape.width, is_signed=shape.signed)
    return range(low, high + 1)


def evaluate(shape: Shape, expressions: Callable[[Signal], list[Any]]) -> np.ndarray:
    """Combinational expressions of a signal, for all of its values: [values, expressions]."""
    x = Signal(shape)
    outputs, m = [], Module()
    for i, expression in enumerate(expressions(x)):
        outputs.append(Signal(signed(20), name=f"output_{i}"))
        m.d.comb += outputs[i].eq(expression)
    rows = []

    async def testbench(ctx: Any) -> None:
        for value in values_of(shape):
            ctx.set(x, value)
            rows.append([ctx.get(output) for output in outputs])

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
    return np.array(rows)


def test_rounding_is_half_up() -> None:
    assert round_shift([-3, -2, -1, 0, 1, 2, 3], 1).tolist() == [-1, -1, 0, 0, 1, 1, 2]
    assert round_shift([-7, -6, -5, 5, 6, 7], 2).tolist() == [-2, -1, -1, 1, 2, 2]


def test_rounding_is_exact_over_int64() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-(1 << 63), (1 << 63) - 1, 300, endpoint=True) >> rng.integers(0, 63, 300)
    x[:4] = -(1 << 63), (1 << 63) - 1, -1, 0
    shifts = np.arange(63)
    expected = [[exact(int(value), int(shift)) for shift in shifts] for value in x]
    assert round_shift(x[:, None], shifts).tolist() == expected
    assert round_shift(x, 0).tolist() == x.tolist()


def test_limits() -> None:
    assert limits(8) == (-128, 127)
    assert limits(8, symmetric=True) == (-127, 127)
    assert limits(8, is_signed=False) == (0, 255)


def test_saturation() -> None:
    x = np.array([-(1 << 40), -129, -128, -127, -1, 0, 127, 128, 255, 256, 1 << 40])
    assert saturate(x, 8).tolist() == [-128, -128, -128, -127, -1, 0, 127, 127, 127, 127, 127]
    assert saturate(x, 8, symmetric=True).tolist() == [-127, -127, -127, -127, -1, 0, 127, 127, 127, 127, 127]
    assert saturate(x, 8, signed=False).tolist() == [0, 0, 0, 0, 0, 0, 127, 128, 255, 255, 255]


def test_bit_length_is_that_of_integers() -> None:
    powers = [1 << n for n in range(63)]
    x = np.array([0, 1, *(p - 1 for p in powers), *powers, *(p + p // 3 for p in powers)])
    assert bit_length(x).tolist() == [int(value).bit_length() for value in x]


@pytest.mark.parametrize("shape", [signed(7), unsigned(7)], ids=str)
def test_hardware_rounds_like_numpy(shape: Shape) -> None:
    shifts = range(10)
    found = evaluate(shape, lambda x: [rounded_shift(x, shift) for shift in shifts])
    np.testing.assert_array_equal(found, round_shift(np.array(values_of(shape))[:, None], np.array(shifts)))


@pytest.mark.parametrize("shape", [signed(6), unsigned(6)], ids=str)
@pytest.mark.parametrize(
    ("is_signed", "symmetric"), [(True, False), (True, True), (False, False)], ids=["signed", "symmetric", "unsigned"]
)
def test_hardware_saturates_like_numpy(shape: Shape, is_signed: bool, symmetric: bool) -> None:
    widths = range(2, 9)
    found = evaluate(shape, lambda x: [saturated(x, bits, is_signed=is_signed, symmetric=symmetric) for bits in widths])
    x = np.array(values_of(shape))
    expected = [saturate(x, bits, signed=is_signed, symmetric=symmetric) for bits in widths]
    np.testing.assert_array_equal(found, np.stack(expected, axis=1))


def shift_stream(shift: VariableShift, values: np.ndarray, shifts: np.ndarray) -> list[int]:
    """What a variable shift answers to a new operand every cycle."""
    results = []

    async def testbench(ctx: Any) -> None:
        ctx.set(shift.shift, int(shifts[0]))
        await ctx.tick()
        for value, following in zip(values, [*shifts[1:], 0], strict=True):
            ctx.set(shift.value, int(value))
            ctx.set(shift.shift, int(following))  # it comes a cycle before its value
            await ctx.tick()
            results.append(ctx.get(shift.result))

    simulator = Simulator(shift)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


@pytest.mark.parametrize(
    ("width", "bits", "options"),
    [
        (39, 20, {"shift_bits": 5}),
        (44, 24, {}),
        (30, 8, {"symmetric": True}),
        (30, 8, {"is_signed": False}),
        (9, 16, {"shift_bits": 4}),
        (12, 8, {"shift_bits": 7}),
    ],
)
def test_variable_shift_is_round_and_saturate(width: int, bits: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    shift = VariableShift(width, bits, **options)
    places = np.repeat(np.arange(1 << len(shift.shift)), 12)
    low, high = limits(width)
    values = rng.integers(low, high, len(places), endpoint=True) >> rng.integers(0, width, len(places))
    values[::12], values[1::12] = low, high
    order = rng.permutation(len(places))
    values, places = values[order], places[order]
    signs = {"signed": options.get("is_signed", True), "symmetric": options.get("symmetric", False)}
    # Beyond 62 places numpy shifts no further: nor is there anything left.
    expected = saturate(round_shift(values, np.minimum(places, 62)), bits, **signs)
    late = VariableShift.latency - 1  # the first result is seen after the tick in which its operands were taken
    assert shift_stream(shift, values, places)[late:] == expected[: len(values) - late].tolist()


@pytest.mark.parametrize("shift_bits", [3, 8])
def test_impossible_shifts_are_refused(shift_bits: int) -> None:
    with pytest.raises(ValueError) as error:
        VariableShift(8, 8, shift_bits=shift_bits)
    assert str(error.value) == f"variable shift amount must have 4 to 7 bits, not {shift_bits}"
