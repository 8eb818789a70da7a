"""What a softmax has once: the walk over the keys, the store between the passes, the reciprocals of all rows."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted, Turns
from ..delay_registers import KEEP
from ..ram import RegisteredRam, RegisteredRamSpec
from ..resources import Resources
from ..serial import Divider, Normalise, divide_latency, normalise_latency
from ..stream import StreamBuffer, buffer_resources, connect
from .parameters import RowFactor, RowFactors
from .softmax_row import NUMERATOR_BITS

__all__ = ["KeyCounter", "RowReciprocals", "ScoreStore"]

MANTISSA_BITS = 17
"""Bits of a reciprocal's mantissa, which is 2**15 to 2**16."""


class KeyCounter(wiring.Component):
    """Walks over the keys of heads in beats of ``lanes``, up to the first multiple of ``multiple`` that covers all
    tokens. It is as far ahead of its reader as a buffer allows.

    It needs no division: a head ends with the first whole multiple whose next key is not below ``tokens``. With 10
    tokens, 2 lanes and multiples of 4, a head has 6 beats: the last has the keys 10 and 11, which are not real.

    Members:
        there: level; there is a head, which the next four describe.
        tokens: tokens of the sequence.
        tile: the tile of the queries.
        label: of the shape ``label``, handed on with each beat.
        ends: strobe; the walk goes on to the next head.
        beats: stream, one for each beat. ``first``, ``last``: it is the first or last of its head. ``real``: it has a
            key below ``tokens``. ``valid[row]``: a bit for each lane; this query sees this key. ``label``.
    """

    def __init__(self, *, rows: int, lanes: int, max_length: int, multiple: int, causal: bool, label: data.Layout):
        self.rows, self.lanes, self.causal = rows, lanes, causal
        self.max_length, self.multiple = max_length, multiple
        super().__init__(
            {
                "there": In(1),
                "tokens": In(range(max_length + 1)),
                "tile": In(range(max(-(-max_length // rows), 2))),
                "label": In(label),
                "ends": Out(1),
                "beats": Out(stream.Signature(self.beat(rows, lanes, label))),
            }
        )

    @staticmethod
    def beat(rows: int, lanes: int, label: data.Layout) -> data.StructLayout:
        """The shape of a beat."""
        seen = data.ArrayLayout(unsigned(lanes), rows)
        return data.StructLayout({"first": 1, "last": 1, "real": 1, "valid": seen, "label": label})

    @staticmethod
    def resources(*, rows: int, lanes: int, max_length: int, causal: bool, label: data.Layout) -> Resources:
        """LUT and FF: a counter and a comparison per lane, with a causal mask a comparison per row and lane; the
        buffer. Without a mask the bits of a lane are the same for all rows."""
        bits = max_length.bit_length()
        seen = rows * lanes * bits // 2 if causal else 0
        width = KeyCounter.beat(rows if causal else 1, lanes, label).size
        return Resources(lut=22 + 13 * bits * lanes // 10 + seen, ff=14 + bits * lanes) + buffer_resources(width, 2)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(self.beats.payload.shape())
        connect(m, buffer.output, self.beats)
        lanes, offered = self.lanes, buffer.input.payload
        end = self.max_length + self.multiple + lanes
        # The keys of this beat, and the first of the next one. They are kept, so that their enable stays one.
        keys = [Signal(range(end), init=lane, name=f"key{lane}", attrs=KEEP) for lane in range(lanes + 1)]
        part = Turns("part", self.multiple // lanes)
        step = Signal()
        last = Signal()
        first = Signal(init=1)
        m.d.comb += [
            step.eq(self.there & buffer.input.ready),
            last.eq(part.last & (keys[-1] >= self.tokens)),
            self.ends.eq(step & last),
            buffer.input.valid.eq(self.there),
            offered.first.eq(first),
            offered.last.eq(last),
            offered.real.eq(keys[0] < self.tokens),
            Value.cast(offered.label).eq(Value.cast(self.label)),
        ]
        part.step(m, step)
        with m.If(step):
            m.d.sync += first.eq(last)
            m.d.sync += [key.eq(Mux(last, lane, key + lanes)) for lane, key in enumerate(keys)]
        for row in range(self.rows):
            query = Cat(Const(row, (self.rows - 1).bit_length()), self.tile)
            for lane, key in enumerate(keys[:-1]):
                seen = key <= query if self.causal else 1
                m.d.comb += offered.valid[row][lane].eq((key < self.tokens) & seen)
        return m


class ScoreStore(wiring.Component):
    """A ring of beats between the passes. ``write`` adds one while there is ``room``; ``read`` takes the oldest.

    Members: ``room`` (registered), ``write`` with ``scores``, ``read``, ``stored`` (`RegisteredRamSpec.latency` cycles
    later).
    """

    def __init__(self, shape: data.Layout, ram: RegisteredRamSpec):
        self.ram = ram
        super().__init__({"room": Out(1), "write": In(1), "scores": In(shape), "read": In(1), "stored": Out(shape)})

    @staticmethod
    def resources(ram: RegisteredRamSpec) -> Resources:
        """The RAM, both pointers, and the count of free words."""
        bits = ram.depth.bit_length()
        return ram.resources + Resources(lut=6 * bits, ff=3 * bits)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.ram
        m.submodules.ram = ram = RegisteredRam(spec)
        free = Counted("free", spec.depth, init=spec.depth)
        free.step(m, up=self.read, down=self.write)
        m.d.comb += [
            self.room.eq(free.some),
            ram.write_enable.eq(self.write),
            ram.write_data.eq(self.scores.as_value()),
            self.stored.as_value().eq(ram.read_data),
        ]
        for address, step in ((ram.write_address, self.write), (ram.read_address, self.read)):
            pointer = Signal.like(address)
            m.d.comb += address.eq(pointer)
            with m.If(step):
                m.d.sync += pointer.eq(Mux(pointer == spec.depth - 1, 0, pointer + 1))
        return m


class RowReciprocals(wiring.Component):
    """The factors of all rows from the sums of their numerators, one bit per cycle, all rows in step.

    Members: ``totals`` (stream, ``sum_bits`` x rows; each at least 127), ``factors`` (stream, `RowFactor` x rows).
    """

    def __init__(self, *, rows: int, sum_bits: int):
        self.rows, self.sum_bits = rows, sum_bits
        super().__init__(
            {
                "totals": In(stream.Signature(data.ArrayLayout(unsigned(sum_bits), rows))),
                "factors": Out(stream.Signature(data.ArrayLayout(RowFactor, rows))),
            }
        )

    @staticmethod
    def reference(totals: np.ndarray, sum_bits: int) -> RowFactors:
        """The factors of integer sums of any shape: ``2**22 / total``, with a mantissa of 16 bits."""
        places = sum_bits - np.frexp(totals.astype(np.float64))[1]
        mantissa = (1 << (sum_bits + MANTISSA_BITS - 2)) // (totals << places)
        return RowFactors(mantissa=mantissa, exponent=sum_bits - NUMERATOR_BITS - places)

    @staticmethod
    def latency(sum_bits: int) -> int:
        """Cycles from sums to factors."""
        return normalise_latency(sum_bits) + divide_latency(MANTISSA_BITS)

    @staticmethod
    def resources(*, rows: int, sum_bits: int) -> Resources:
        """LUT and FF of a normaliser and a divider for each row."""
        return Resources(lut=3 * sum_bits + 80, ff=4 * sum_bits + 20) * rows

    interval = divide_latency(MANTISSA_BITS) + 1
    """Least cycles between two sets of factors: a division, and the cycle in which its result is taken."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = self.sum_bits
        for row in range(self.rows):
            # All rows take the same number of cycles, so the handshakes of row 0 serve for all.
            normalise = Normalise(bits)
            divider = Divider(bits + MANTISSA_BITS - 1, bits, MANTISSA_BITS)
            m.submodules[f"normalise_{row}"] = normalise
            m.submodules[f"divider_{row}"] = divider
            exponent = Signal(RowFactor["exponent"].shape, name=f"exponent{row}", reset_less=True)
            normal = normalise.output
            m.d.comb += [
                normalise.input.valid.eq(self.totals.valid),
                normalise.input.payload.eq(self.totals.payload[row]),
                divider.input.valid.eq(normal.valid),
                divider.input.payload.numerator.eq(1 << (bits + MANTISSA_BITS - 2)),
                divider.input.payload.denominator.eq(normal.payload.value),
                normal.ready.eq(divider.input.ready),
                divider.output.ready.eq(self.factors.ready),
                self.factors.payload[row].mantissa.eq(divider.output.payload),
                self.factors.payload[row].exponent.eq(exponent),
            ]
            with m.If(normal.valid & normal.ready):
                m.d.sync += exponent.eq(bits - NUMERATOR_BITS - normal.payload.shift)
            if row == 0:
                m.d.comb += [self.totals.ready.eq(normalise.input.ready), self.factors.valid.eq(divider.output.valid)]
        return m
