"""Rounding and saturation: one rule, as numpy functions and as hardware.

Rounding is half up (towards plus infinity), ``floor((x + 2**(shift-1)) / 2**shift)``: one adder in hardware.
Nothing else in the project rounds or saturates.
"""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value, signed, unsigned

from .delay_registers import KEEP

__all__ = ["VariableShift", "bit_length", "limits", "round_shift", "rounded_shift", "saturate", "saturated"]


def limits(bits: int, *, is_signed: bool = True, symmetric: bool = False) -> tuple[int, int]:
    """The lowest and the highest integer of a format of ``bits`` bits; ``symmetric`` leaves out the lowest one."""
    if not is_signed:
        return 0, (1 << bits) - 1
    high = (1 << (bits - 1)) - 1
    return (-high if symmetric else -high - 1), high


def round_shift(x: Any, shift: Any) -> np.ndarray:
    """``x / 2**shift`` rounded half up, for int64 arrays; ``shift`` (0..62) may be an array that broadcasts."""
    x, shift = np.asarray(x, dtype=np.int64), np.asarray(shift, dtype=np.int64)
    # The floor plus the highest bit that is shifted out; x + 2**(shift-1) could overflow.
    half = (x >> np.maximum(shift - 1, 0)) & (shift > 0)
    return (x >> shift) + half


def saturate(x: Any, bits: int, *, signed: bool = True, symmetric: bool = False) -> np.ndarray:
    """``x`` limited to the range of a format of ``bits`` bits."""
    return np.clip(np.asarray(x, dtype=np.int64), *limits(bits, is_signed=signed, symmetric=symmetric))


def bit_length(x: Any) -> np.ndarray:
    """Bits of each non-negative int64, 0 for 0."""
    x = np.asarray(x, dtype=np.int64)
    # frexp's exponent is the bit length, but float64 may round a row of ones up. Clearing each 1 that follows a 1
    # prevents this.
    return np.frexp((x & ~(x >> 1)).astype(np.float64))[1].astype(np.int64)


def rounded_shift(value: Any, shift: int) -> Value:
    """Hardware twin of `round_shift` for a constant shift: a combinational expression with one adder."""
    value = Value.cast(value)
    return value if shift == 0 else ((value >> (shift - 1)) + 1) >> 1


def saturated(value: Any, bits: int, *, is_signed: bool = True, symmetric: bool = False) -> Value:
    """Hardware twin of `saturate`: a combinational expression (a comparison of the upper bits, and a multiplexer)."""
    value = Value.cast(value)
    low, high = limits(bits, is_signed=is_signed, symmetric=symmetric)
    width = value.shape().width
    if not is_signed:
        kept = value[:bits]
        if not value.shape().signed:
            return kept if width <= bits else Mux(value[bits:].any(), Const(high, bits), kept)
        over = value[bits : width - 1].any() if width - 1 > bits else Const(0)
        return Mux(value[-1], Const(low, bits), Mux(over, Const(high, bits), kept))
    if not value.shape().signed:
        value = Cat(value, Const(0, 1)).as_signed()
        width += 1
    if width <= bits:
        return Mux(value == low - 1, Const(low, signed(bits)), value) if symmetric and width == bits else value
    sign = value[-1]
    fits = value[bits - 1 :] == Mux(sign, ~Const(0, width - bits + 1), Const(0, width - bits + 1))
    if symmetric:
        # The one value that fits the bits but not the range is 100...0.
        fits &= ~(sign & ~value[: bits - 1].any())
    extreme = Mux(sign, Const(low, signed(bits)), Const(high, signed(bits)))
    return Mux(fits, value[:bits].as_signed(), extreme).as_signed()


class VariableShift(Elaboratable):
    """Rounding shift right by a run-time amount, saturated: ``saturate(round_shift(value, shift), bits, symmetric)``.

    Four registered steps (`latency`): shift by a multiple of eight, shift by up to seven, round, saturate. It takes a
    new value in each cycle and never stalls. Members: ``value`` (signed, ``width`` bits), ``shift`` (unsigned,
    ``shift_bits`` bits, one cycle before its value), ``result`` (``bits`` bits, signed or unsigned by ``is_signed``).

    Each unit keeps the amount in registers of its own, because several units often have one ``shift``.
    """

    latency = 4

    def __init__(self, width: int, bits: int, *, shift_bits: int = 6, is_signed: bool = True, symmetric: bool = False):
        if not 4 <= shift_bits <= 7:
            raise ValueError(f"variable shift amount must have 4 to 7 bits, not {shift_bits}")
        self.bits, self.is_signed, self.symmetric = bits, is_signed, symmetric
        self.value = Signal(signed(width))
        self.shift = Signal(unsigned(shift_bits))
        self.result = Signal(Shape(bits, is_signed), reset_less=True)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = len(self.value)
        doubled = Cat(Const(0, 1), self.value).as_signed()  # one more place, so that rounding is (x + 1) >> 1
        amount = Signal.like(self.shift, reset_less=True, attrs=KEEP)
        coarse = Signal(signed(width + 1), reset_less=True)
        fine_shift = Signal(3, reset_less=True, attrs=KEEP)
        fine = Signal(signed(width + 1), reset_less=True)
        rounded = Signal(signed(width + 1), reset_less=True)
        m.d.sync += [
            amount.eq(self.shift),
            coarse.eq(doubled >> Cat(Const(0, 3), amount[3:])),
            fine_shift.eq(amount[:3]),
            fine.eq(coarse >> fine_shift),
            rounded.eq((fine + 1) >> 1),
            self.result.eq(saturated(rounded, self.bits, is_signed=self.is_signed, symmetric=self.symmetric)),
        ]
        return m
