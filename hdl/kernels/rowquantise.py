"""Row quantise: makes rows of 8 bits of rows of 16 bits, each with a factor of its own.

    m = max(1, max|x|), or the given limit
    n = m << z, in [2^15, 2^16)
    r = floor(levels * 2^24 / n)
    q = saturate(round_shift((clip(x, -m, m) << z) * r, 24)) - offset
    row factor = n * 2^-z                              so that (q + offset) * n * 2^-z / levels is about x

The hardware needs neither the clip nor the first shift: round_shift(x * r, 24 - z) is the same number, and a value
beyond m saturates, because n * r / 2^24 rounds to levels.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted, Turns
from ..delay_registers import advance, delay, registered_tree, tree_levels
from ..fixed import VariableShift, round_shift, saturate
from ..ram import RegisteredRam, RegisteredRamSpec, small_style
from ..resources import Resources
from ..serial import Divider, Normalise, divide_latency, normalise_latency
from ..stream import PipelineBuffer, StreamBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .parameters import Block, RowFactor, RowFactors
from .unit import RowUnitSpec

__all__ = ["RowQuantise", "RowQuantiseSpec"]

VALUE_BITS = 16
ROW_BITS = 8

RECIPROCAL_SHIFT = 24
"""Fraction bits of a level's reciprocal."""

QUEUE = 2
"""Tiles whose maxima are known or under way, and not yet taken by the serial units."""


@dataclass(frozen=True, kw_only=True)
class RowQuantiseSpec(RowUnitSpec):
    """The size of a row quantiser of tiles of ``rows`` x ``features``, with ``lanes`` features in a beat.

    Signed values of 16 bits become -127..127. ``unsigned`` values of 16 bits become 0..255, less a zero point of 128.

    Raises:
        ValueError: for sizes below 1, and lanes that do not divide the features.
    """

    rows: int
    lanes: int
    features: int
    unsigned: bool

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"row quantise {name} must be at least 1, not {getattr(self, name)}")
        if self.features % self.lanes:
            raise ValueError(f"row quantise features must be a multiple of {self.lanes} lanes, not {self.features}")

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: the largest value of a row, or 0."""
        return {"limit": Block(1, 1)}

    @property
    def levels(self) -> int:
        """The quantised value of a row's maximum, before the offset."""
        return 255 if self.unsigned else 127

    @property
    def offset(self) -> int:
        """The zero point: it is subtracted to make an int8 of an unsigned value."""
        return 128 if self.unsigned else 0

    @property
    def value_shape(self) -> Shape:
        """Shape of a value."""
        return Shape(VALUE_BITS, not self.unsigned)

    @property
    def reciprocal_bits(self) -> int:
        """Width of r: n is at least 2^15."""
        return ((self.levels << RECIPROCAL_SHIFT) >> (VALUE_BITS - 1)).bit_length()

    @property
    def product_bits(self) -> int:
        """Width of the signed product of a value and r."""
        return VALUE_BITS + self.unsigned + self.reciprocal_bits

    @property
    def beats(self) -> int:
        """Beats of a tile."""
        return self.features // self.lanes

    @property
    def serial_cycles(self) -> int:
        """Cycles of the serial units for a tile: normalise, divide, and one until they take the next."""
        return normalise_latency(VALUE_BITS) + divide_latency(self.reciprocal_bits) + 1

    @property
    def maximum_stages(self) -> int:
        """Registers from a beat to a row's maximum: magnitudes, the tree over the lanes, the running maximum."""
        return 2 + tree_levels(self.lanes, 2)

    @property
    def factor_latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat, into a buffer, to the beat of its row factors."""
        return 1 + self.maximum_stages + 1 + self.serial_cycles

    @property
    def scale_stages(self) -> int:
        """Registers from a read address to a quantised value: RAM, value, two of its product, the shift."""
        return self.ram.latency + 3 + VariableShift.latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to its first quantised beat."""
        return self.factor_latency + self.scale_stages + 1

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other: its beats, or the serial work if that is longer."""
        return max(self.beats, self.serial_cycles)

    @property
    def ram(self) -> RegisteredRamSpec:
        """The memory: a tile that is sent, and the next tile, or all that arrives during the serial work."""
        depth = self.beats + max(self.beats, self.factor_latency + 2)
        return RegisteredRamSpec(self.rows * self.lanes * VALUE_BITS, depth, small_style(depth))

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; products take registers here, as Yosys maps them (Vivado finds them in the DSPs)."""
        bits = VALUE_BITS
        # Registers: magnitude, value, two for the product, three for the shift. The shift takes four LUTs per bit.
        element = Resources(dsp=1, lut=4 * self.product_bits + bits, ff=2 * bits + 5 * self.product_bits + 14)
        comparison = Resources(lut=3 * bits // 2, ff=bits)
        # The running maximum, the limit, the serial units, the scale and its delays, the buffers of maximum and factor.
        row = Resources(lut=13 * bits, ff=8 * bits + 2 * self.reciprocal_bits + 2 * RowFactor.size)
        buffer = pipeline_resources(self.rows * self.lanes * ROW_BITS, self.scale_stages + 2)
        control = Resources(lut=30, ff=self.scale_stages + 2 * self.maximum_stages + 5 * self.beats.bit_length())
        rows = row + element * self.lanes + comparison * (self.lanes - 1)
        inputs = buffer_resources(self.rows * self.lanes * VALUE_BITS, 2) + buffer_resources(VALUE_BITS, 2)
        return rows * self.rows + self.ram.resources + inputs + buffer + control

    def reference(self, values: np.ndarray, limit: np.ndarray | int = 0) -> tuple[np.ndarray, RowFactors]:
        """Quantised values [tokens, features] and factors [tokens] of values [tokens, features].

        A ``limit`` (a number, or one for each token) that is not 0 is used in place of the rows' maxima.
        """
        x = np.asarray(values, dtype=np.int64)
        limit = np.broadcast_to(np.asarray(limit, dtype=np.int64), x.shape[:1])
        m = np.where(limit == 0, np.maximum(np.abs(x).max(axis=1), 1), limit)
        z = VALUE_BITS - np.frexp(m)[1].astype(np.int64)  # frexp's exponent is the bit length
        n = m << z
        r = (self.levels << RECIPROCAL_SHIFT) // n
        m, z, r = m[:, None], z[:, None], r[:, None]
        scaled = round_shift((np.clip(x, -m, m) << z) * r, RECIPROCAL_SHIFT)
        quantised = saturate(scaled, ROW_BITS, signed=not self.unsigned, symmetric=not self.unsigned) - self.offset
        return quantised, RowFactors(mantissa=n, exponent=z[:, 0])


class RowScale(NamedTuple):
    """The results of the serial units for a row: r, n and z."""

    reciprocal: Value
    maximum: Value
    shift: Value


class RowQuantise(wiring.Component):
    """The row quantiser. It takes one beat per cycle.

    A tile leaves `RowQuantiseSpec.latency` cycles after its last beat, while the next one arrives.

    Members:
        values: tile stream, rows x lanes of 16 bits.
        limit: stream of unsigned 16, a word for each tile, needed when the tile is complete; 0: each row's own maximum.
        quantised: tile stream, rows x lanes int8.
        factors: stream of `RowFactor` x rows, a beat for each tile, before its first quantised beat.
    """

    def __init__(self, spec: RowQuantiseSpec):
        self.spec = spec
        super().__init__(
            {
                "values": In(stream.Signature(tile(spec.rows, spec.lanes, spec.value_shape))),
                "limit": In(stream.Signature(unsigned(VALUE_BITS))),
                "quantised": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(ROW_BITS)))),
                "factors": Out(stream.Signature(data.ArrayLayout(RowFactor, spec.rows))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.ram = ram = RegisteredRam(spec.ram)
        m.submodules.maxima = maxima = PipelineBuffer(data.ArrayLayout(unsigned(VALUE_BITS), spec.rows), QUEUE)
        free = Counted("free", spec.ram.depth, init=spec.ram.depth)
        written = self._fill(m, ram, maxima, free.some)
        sent = self._send(m, ram, *self._scale(m, maxima))
        free.step(m, up=sent, down=written)
        return m

    def _fill(self, m: Module, ram: RegisteredRam, maxima: PipelineBuffer, room: Value) -> Value:
        """Writes beats into the RAM and finds each row's maximum; returns the strobe of a written beat."""
        spec = self.spec
        values = buffered(m, "values_buffer", self.values)
        beat, first = Turns("beat", spec.beats), Signal(init=1)
        last = beat.last
        go = join(m, [values], room & (maxima.room | ~last))
        beat.step(m, go)
        with m.If(go):
            m.d.sync += first.eq(last)
        advance(m, ram.write_address, spec.ram.depth, go)
        complete = delay(m, "complete", go & last, spec.maximum_stages, control=True)
        m.d.comb += [
            ram.write_enable.eq(go),
            ram.write_data.eq(Value.cast(values.payload)),
            maxima.take.eq(go & last),
            maxima.push.eq(complete),
        ]
        arrived = delay(m, "arrived", go, spec.maximum_stages - 1, control=True)
        first = delay(m, "first", first, spec.maximum_stages - 1)
        for row in range(spec.rows):
            magnitudes = [delay(m, f"magnitude_{row}_{i}", abs(x), 1) for i, x in enumerate(values.payload[row])]
            peak = registered_tree(m, f"peak_{row}", magnitudes, lambda a, b: Mux(a > b, a, b), fan_in=2)
            maximum = Signal(VALUE_BITS, name=f"maximum_{row}", reset_less=True)
            with m.If(arrived & (first | (peak > maximum))):
                m.d.sync += maximum.eq(peak)
            m.d.comb += maxima.payload[row].eq(maximum)
        return go

    def _scale(self, m: Module, maxima: PipelineBuffer) -> tuple[Signal, Signal, list[RowScale]]:
        """Normalises and divides, all rows in step.

        Returns whether the scales are valid, the strobe to take them, and the scales.
        """
        spec = self.spec
        normalisers = [Normalise(VALUE_BITS) for _ in range(spec.rows)]
        numerator = spec.levels << RECIPROCAL_SHIFT
        dividers = [Divider(numerator.bit_length(), VALUE_BITS, spec.reciprocal_bits) for _ in range(spec.rows)]
        limits = buffered(m, "limit_buffer", self.limit)
        go = join(m, [maxima.output, limits], normalisers[0].input.ready)
        take, scales = Signal(name="take_scales"), []
        for row, (normalise, divide) in enumerate(zip(normalisers, dividers, strict=True)):
            m.submodules[f"normalise_{row}"], m.submodules[f"divide_{row}"] = normalise, divide
            maximum, limit = maxima.output.payload[row], limits.payload
            m.d.comb += [
                normalise.input.valid.eq(go),
                normalise.input.payload.eq(Mux(limit == 0, maximum | (maximum == 0), limit)),
                # The normaliser holds its result until the quotient is taken, because it is part of the scale.
                divide.input.valid.eq(normalise.output.valid),
                divide.input.payload.numerator.eq(numerator),
                divide.input.payload.denominator.eq(normalise.output.payload.value),
                normalise.output.ready.eq(take),
                divide.output.ready.eq(take),
            ]
            normalised = normalise.output.payload
            scales.append(RowScale(divide.output.payload, normalised.value, normalised.shift))
        return dividers[0].output.valid, take, scales

    def _send(self, m: Module, ram: RegisteredRam, there: Signal, take: Signal, scales: list[RowScale]) -> Value:
        """Reads the oldest tile of the RAM, scales and sends it; returns the strobe of a read beat."""
        spec = self.spec
        m.submodules.factors = factors = StreamBuffer(self.factors.payload.shape())
        m.submodules.buffer = buffer = PipelineBuffer(self.quantised.payload.shape(), spec.scale_stages + 2)
        connect(m, factors.output, self.factors)
        connect(m, buffer.output, self.quantised)
        sending = Signal()
        beat = Turns("beat_sent", spec.beats)
        read = sending & buffer.room
        ends = read & beat.last
        beat.step(m, read)
        advance(m, ram.read_address, spec.ram.depth, read)
        m.d.sync += sending.eq(take | (sending & ~ends))
        m.d.comb += [
            take.eq(there & factors.input.ready & (~sending | ends)),
            factors.input.valid.eq(take),
            buffer.take.eq(read),
            buffer.push.eq(delay(m, "scaled", read, spec.scale_stages, control=True)),
        ]
        word = self.values.payload.shape()(ram.read_data)
        for row, scale in enumerate(scales):
            factor = factors.input.payload[row]
            m.d.comb += [factor.mantissa.eq(scale.maximum), factor.exponent.eq(scale.shift)]
            reciprocal = Signal(spec.reciprocal_bits, name=f"reciprocal_{row}", reset_less=True)
            places = Signal(range(RECIPROCAL_SHIFT + 1), name=f"places_{row}", reset_less=True)
            with m.If(take):
                m.d.sync += [reciprocal.eq(scale.reciprocal), places.eq(RECIPROCAL_SHIFT - scale.shift)]
            # Both wait for the data: the RAM's cycles and one to the multiplier; one more, and then comes the shift.
            reciprocal = delay(m, f"reciprocal_{row}", reciprocal, ram.spec.latency + 1)
            places = delay(m, f"places_{row}", places, ram.spec.latency + 2)
            for lane in range(spec.lanes):
                value = delay(m, f"value_{row}_{lane}", word[row][lane], 1)
                quantised = self._quantise(m, f"{row}_{lane}", value, reciprocal, places)
                m.d.comb += buffer.payload[row][lane].eq(quantised)
        return read

    def _quantise(self, m: Module, name: str, value: Value, reciprocal: Value, places: Value) -> Value:
        """A value times its row's reciprocal, less the offset. The two registers after the product become the DSP's."""
        spec = self.spec
        shift = VariableShift(
            spec.product_bits,
            ROW_BITS,
            shift_bits=len(places),
            is_signed=not spec.unsigned,
            symmetric=not spec.unsigned,
        )
        m.submodules[f"shift_{name}"] = shift
        m.d.comb += [shift.value.eq(delay(m, f"product_{name}", value * reciprocal, 2)), shift.shift.eq(places)]
        # The offset is half the range, so subtracting it inverts the highest bit.
        return shift.result ^ spec.offset
