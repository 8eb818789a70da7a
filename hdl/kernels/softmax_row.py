"""A row of softmax: its running maximum, and its numerators with their running sum."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..delay_registers import delay, registered_tree, tree_levels, tree_registers
from ..fixed import VariableShift, limits
from ..resources import Resources
from .parameters import ChannelWord

__all__ = [
    "EXPONENTIALS",
    "EXPONENTIAL_STEPS",
    "NUMERATOR_BITS",
    "NUMERATOR_ONE",
    "SCORE_FACTOR_BITS",
    "RowMaximum",
    "RowNumerators",
    "RowSpec",
]

NUMERATOR_ONE = 127
"""The numerator of the largest score of a row."""

NUMERATOR_BITS = NUMERATOR_ONE.bit_length()

EXPONENTIAL_STEPS = 16
"""Entries of the table from a numerator to the one that is e times smaller: entry i is exp(-i / 16)."""

INDEX_BITS = 7
"""Bits of an index: the last entries are 0, so a table of 256 entries would give the same."""

EXPONENTIALS = np.floor(NUMERATOR_ONE * np.exp(-np.arange(1 << INDEX_BITS) / EXPONENTIAL_STEPS) + 0.5).astype(np.int64)
"""Numerators by index."""

SCORE_FACTOR_BITS = 17
"""Bits of a scale word's factor, which the softmax takes as unsigned."""

NUMERATOR_FAN_IN = 4
"""Numerators added between registers."""


@dataclass(frozen=True, kw_only=True)
class RowSpec:
    """The widths of a row: ``lanes`` scores of ``score_bits`` in a beat, sums of numerators of ``sum_bits``."""

    lanes: int
    score_bits: int
    sum_bits: int

    @property
    def maximum_latency(self) -> int:
        """Cycles from a score to the maximum that includes it: the mask, the tree, the running maximum."""
        return 1 + tree_levels(self.lanes, 2) + 1

    @property
    def numerator_latency(self) -> int:
        """Cycles from a score to its numerator: difference, product, shift, table."""
        return 1 + 1 + VariableShift.latency + 1

    @property
    def sum_latency(self) -> int:
        """Cycles from a score to the sum that includes its numerator: the tree, and the running sum."""
        return self.numerator_latency + tree_levels(self.lanes, NUMERATOR_FAN_IN) + 1

    @property
    def maximum_resources(self) -> Resources:
        """LUT and FF of a `RowMaximum`: comparisons and multiplexers (the mask becomes resets of the registers)."""
        registers = self.lanes + tree_registers(self.lanes, 2) + 1
        return Resources(lut=(17 * self.lanes - 10) * self.score_bits // 10, ff=registers * self.score_bits + 1)

    @property
    def numerator_resources(self) -> Resources:
        """DSP, LUT and FF of a `RowNumerators`; the registers around the products count as FF."""
        # Difference; two shifts of two LUTs per bit of the product, and its rounding; the table's 14 and the sum's 8.
        lane = Resources(dsp=1, lut=6 * self.score_bits + 82, ff=5 * self.score_bits + 90)
        sums = (NUMERATOR_BITS + 2) * tree_registers(self.lanes, NUMERATOR_FAN_IN) + self.sum_bits
        return lane * self.lanes + Resources(lut=self.lanes + 4, ff=sums + 15)

    @property
    def scores(self) -> data.ArrayLayout:
        """A beat of scores."""
        return data.ArrayLayout(signed(self.score_bits), self.lanes)


class RowMaximum(wiring.Component):
    """A row's running maximum over the ``valid`` scores since ``first``, `RowSpec.maximum_latency` cycles later.

    Only beats with ``go`` count.
    """

    def __init__(self, spec: RowSpec):
        self.spec = spec
        super().__init__(
            {
                "scores": In(spec.scores),
                "valid": In(spec.lanes),
                "first": In(1),
                "go": In(1),
                "maximum": Out(signed(spec.score_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        lowest = Const(limits(spec.score_bits)[0], signed(spec.score_bits))
        masked = [Signal(lowest.shape(), name=f"masked{i}", reset_less=True) for i in range(spec.lanes)]
        m.d.sync += [masked[i].eq(Mux(self.valid[i], self.scores[i], lowest)) for i in range(spec.lanes)]
        beat = registered_tree(m, "beat", masked, greater, fan_in=2)
        first = delay(m, "first", self.first, spec.maximum_latency - 1)
        running = Signal.like(beat, name="running", reset_less=True)
        with m.If(delay(m, "go", self.go, spec.maximum_latency - 1, control=True)):
            m.d.sync += running.eq(Mux(first, beat, greater(running, beat)))
        m.d.comb += self.maximum.eq(running)
        return m


def greater(a: Any, b: Any) -> Any:
    """The greater of two signed values."""
    return Mux(a > b, a, b)


class RowNumerators(wiring.Component):
    """A row's numerators, for a beat of scores per cycle, and their running sum since ``first``.

    ``valid``, ``first`` and the head's ``maximum``, ``factor`` and ``shift`` come with the scores. The ``numerators``
    follow `RowSpec.numerator_latency` cycles later, the ``total`` `RowSpec.sum_latency` cycles later. A beat without
    valid keys adds nothing, so it may come at any time.
    """

    def __init__(self, spec: RowSpec):
        self.spec = spec
        super().__init__(
            {
                "scores": In(spec.scores),
                "valid": In(spec.lanes),
                "first": In(1),
                "maximum": In(signed(spec.score_bits)),
                "factor": In(SCORE_FACTOR_BITS),
                "shift": In(ChannelWord["shift"].shape),
                "numerators": Out(data.ArrayLayout(unsigned(NUMERATOR_BITS), spec.lanes)),
                "total": Out(spec.sum_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.table = table = Memory(
            shape=unsigned(NUMERATOR_BITS), depth=1 << INDEX_BITS, init=EXPONENTIALS.tolist()
        )
        factor = delay(m, "factor", self.factor, 1)
        shift = delay(m, "shift", self.shift, 1)
        valid = delay(m, "valid", self.valid, spec.numerator_latency)
        for lane in range(spec.lanes):
            # The score of a key that is not valid can exceed the maximum; its results are discarded.
            difference = Signal(signed(spec.score_bits + 1), name=f"difference{lane}", reset_less=True)
            product = Signal(signed(len(difference) + SCORE_FACTOR_BITS), name=f"product{lane}", reset_less=True)
            scale = VariableShift(len(product), INDEX_BITS, is_signed=False)
            m.submodules[f"scale_{lane}"] = scale
            read = table.read_port()
            m.d.sync += [difference.eq(self.maximum - self.scores[lane]), product.eq(difference * factor)]
            m.d.comb += [
                scale.value.eq(product),
                scale.shift.eq(shift),
                read.addr.eq(scale.result),
                self.numerators[lane].eq(Mux(valid[lane], read.data, 0)),
            ]
        first = delay(m, "first", self.first, spec.sum_latency - 1)
        numerators = [self.numerators[lane] for lane in range(spec.lanes)]
        beat = registered_tree(m, "beat", numerators, lambda a, b: a + b, fan_in=NUMERATOR_FAN_IN)
        running = Signal(spec.sum_bits, reset_less=True)
        m.d.sync += running.eq(Mux(first, 0, running) + beat)
        m.d.comb += self.total.eq(running)
        return m
