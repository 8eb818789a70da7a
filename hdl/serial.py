"""Arithmetic of one bit per cycle, for operations that occur once per row: normalisation, division, square root.

Each unit takes one set of operands from its ``input`` stream, works for a fixed number of cycles (`latency`, from
acceptance to a valid output), and holds the result until it is taken.
"""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .delay_registers import KEEP

__all__ = [
    "Divider",
    "Normalise",
    "SerialUnit",
    "SquareRoot",
    "divide_latency",
    "normalise_latency",
    "root_latency",
]


def divide_latency(quotient_bits: int) -> int:
    """`Divider.latency`, for specs: one cycle for each bit of the quotient, and one."""
    return quotient_bits + 1


def root_latency(bits: int) -> int:
    """`SquareRoot.latency`, for specs: one cycle for each bit of the root, and one."""
    return bits // 2 + 1


def normalise_latency(bits: int, multiple: int = 1) -> int:
    """`Normalise.latency`, for specs: one cycle for each halving of the range of shifts, and one."""
    return max((bits // multiple - 1).bit_length(), 1) + 1


class SerialUnit(wiring.Component):
    """Takes operands, works for ``steps`` cycles, offers the result; subclasses define ``load`` and ``step``."""

    steps: int

    @property
    def latency(self) -> int:
        """Cycles from acceptance of the operands to a valid result."""
        return self.steps + 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        remaining = Signal(range(self.steps + 1))
        # Which of its states it is in, a register for each.
        free = Signal(init=1)
        works = Signal(attrs=KEEP)  # units that work together are equal in it, and too many for one register
        done = Signal()
        m.d.comb += [self.input.ready.eq(free), self.output.valid.eq(done)]
        m.d.comb += self.result()
        with m.If(free & self.input.valid):
            m.d.sync += [free.eq(0), works.eq(1), remaining.eq(self.steps)]
            self.load(m)
        with m.If(works):
            m.d.sync += remaining.eq(remaining - 1)
            self.step(m, remaining)
            with m.If(remaining == 1):
                m.d.sync += [works.eq(0), done.eq(1)]
        with m.If(done & self.output.ready):
            m.d.sync += [done.eq(0), free.eq(1)]
        return m

    def load(self, m: Module) -> None:
        """Takes the operands."""
        raise NotImplementedError

    def result(self) -> list[Any]:
        """Statements that drive the output's payload."""
        raise NotImplementedError

    def step(self, m: Module, remaining: Signal) -> None:
        """Does one step; ``remaining`` counts down from ``steps`` to 1."""
        raise NotImplementedError


class Divider(SerialUnit):
    """``floor(numerator / denominator)`` of ``quotient_bits`` bits, restoring division; all unsigned.

    The quotient must fit: ``numerator >> quotient_bits < denominator``.
    """

    def __init__(self, numerator_bits: int, denominator_bits: int, quotient_bits: int):
        self.steps = divide_latency(quotient_bits) - 1
        operands = data.StructLayout({"numerator": unsigned(numerator_bits), "denominator": unsigned(denominator_bits)})
        super().__init__(
            {"input": In(stream.Signature(operands)), "output": Out(stream.Signature(unsigned(quotient_bits)))}
        )
        self._denominator = Signal(denominator_bits, reset_less=True)
        self._remainder = Signal(denominator_bits, reset_less=True)
        self._bits = Signal(
            quotient_bits, reset_less=True
        )  # numerator bits leave at the top, quotient bits enter below

    def load(self, m: Module) -> None:
        numerator = self.input.payload.numerator
        m.d.sync += [
            self._denominator.eq(self.input.payload.denominator),
            self._remainder.eq(numerator >> self.steps),
            self._bits.eq(numerator),
        ]

    def result(self) -> list[Any]:
        return [self.output.payload.eq(self._bits)]

    def step(self, m: Module, remaining: Signal) -> None:
        trial = Cat(self._bits[-1], self._remainder)
        difference = trial - self._denominator
        fits = ~difference[-1]
        m.d.sync += [
            self._remainder.eq(Mux(fits, difference, trial)),
            self._bits.eq(Cat(fits, self._bits[:-1])),
        ]


class SquareRoot(SerialUnit):
    """``isqrt(radicand)`` for an unsigned radicand of an even number of ``bits``, one bit of the result per cycle."""

    def __init__(self, bits: int):
        if bits < 2 or bits % 2:
            raise ValueError(f"square root radicand must have an even number of bits, not {bits}")
        self.steps = root_latency(bits) - 1
        super().__init__(
            {"input": In(stream.Signature(unsigned(bits))), "output": Out(stream.Signature(unsigned(bits // 2)))}
        )
        self._radicand = Signal(bits, reset_less=True)
        self._remainder = Signal(bits // 2 + 2, reset_less=True)
        self._root = Signal(bits // 2, reset_less=True)

    def load(self, m: Module) -> None:
        m.d.sync += [self._radicand.eq(self.input.payload), self._remainder.eq(0), self._root.eq(0)]

    def result(self) -> list[Any]:
        return [self.output.payload.eq(self._root)]

    def step(self, m: Module, remaining: Signal) -> None:
        trial = Cat(self._radicand[-2:], self._remainder)
        difference = trial - Cat(Const(1, 2), self._root)
        fits = ~difference[-1]
        m.d.sync += [
            self._remainder.eq(Mux(fits, difference, trial)),
            self._root.eq(Cat(fits, self._root[:-1])),
            self._radicand.eq(self._radicand << 2),
        ]


class Normalise(SerialUnit):
    """Shifts an unsigned value left in steps of ``multiple`` bits, until one of its upper ``multiple`` bits is set.

    Output: the shifted ``value``, and ``shift``, the number of places. A zero stays zero.
    """

    def __init__(self, bits: int, multiple: int = 1):
        if bits % multiple:
            raise ValueError(f"normalised value must have a multiple of {multiple} bits, not {bits}")
        self.bits, self.multiple = bits, multiple
        self.steps = normalise_latency(bits, multiple) - 1
        result = data.StructLayout({"value": unsigned(bits), "shift": unsigned(bits.bit_length())})
        super().__init__({"input": In(stream.Signature(unsigned(bits))), "output": Out(stream.Signature(result))})

        self._value = Signal(bits, reset_less=True)
        self._shift = Signal(bits.bit_length(), reset_less=True)
        # Large steps first. A bit for each amount of a shift: whether it is this step's, and whether it is no greater.
        self._amount = Signal(self.steps, reset_less=True)
        self._within = Signal(self.steps, reset_less=True)

    def load(self, m: Module) -> None:
        m.d.sync += [
            self._value.eq(self.input.payload),
            self._shift.eq(0),
            self._amount.eq(1 << (self.steps - 1)),
            self._within.eq(~0),
        ]

    def result(self) -> list[Any]:
        return [self.output.payload.value.eq(self._value), self.output.payload.shift.eq(self._shift)]

    def step(self, m: Module, remaining: Signal) -> None:
        amounts = [self.multiple << k for k in range(self.steps)]
        parts, top = [], self.bits  # what the upper bits have more for each amount
        for k, amount in enumerate(amounts):
            bottom = max(self.bits - amount, 0)
            parts.append(self._value[bottom:top].any() & self._within[k])
            top = bottom
        shifted = [Mux(self._amount[k], self._value << amount, 0)[: self.bits] for k, amount in enumerate(amounts)]
        m.d.sync += [self._amount.eq(self._amount >> 1), self._within.eq(self._within >> 1)]
        with m.If(~Cat(parts).any() & (self.bits > self.multiple)):
            m.d.sync += [
                self._value.eq(reduce(or_, shifted)),
                self._shift.eq(self._shift + self._amount * self.multiple),
            ]
