"""Requantise: makes the integers of the next tensor of the exact sums of a linear unit.

    total = saturate(sum + (column_sum << 7), 27)      with a zero point; without, the sum itself
    mid = round_shift(total * factor, 16)              the channel's factor
    y = finish(mid * mantissa, shift + exponent, bias) the channel's shift and bias, the row's mantissa and exponent

`parameters.finish` shifts, saturates, adds the bias, rounds and saturates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Turns
from ..delay_registers import delay
from ..fixed import round_shift, rounded_shift, saturate, saturated
from ..resources import Resources
from ..stream import BUFFER_DEPTH, PipelineBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .arrayspec import WIDEST_SUM_BITS
from .finish import Finish, finish_resources
from .parameters import COLUMN_SUM_SHIFT, Block, ChannelParameters, ChannelWord, RowFactor, RowFactors, finish
from .unit import UnitSpec

__all__ = ["REQUANTISE_FACTOR_BITS", "Requantise", "RequantiseSpec"]

REQUANTISE_FACTOR_BITS = 16
"""Bits of a channel's factor, unsigned and below 1: its rounded product with a sum is no wider than the sum."""

SHIFT_LIMIT = 63
"""The largest sum of a channel's shift and a row's exponent; at this shift nothing is left of any value."""


@dataclass(frozen=True, kw_only=True)
class RequantiseSpec(UnitSpec):
    """The size of a requantiser.

    Attributes:
        rows: tokens of a tile.
        lanes: channels of a beat.
        channels: output channels (features) of a tile.
        group: channels that share a row factor; a multiple of the lanes.
        sum_bits: width of the signed sums.
        output_bits: width of the signed outputs.
        symmetric: whether the outputs leave out the lowest integer.
        zero_point: whether the activations are 128 too low; 128 times each channel's column sum is then added.

    Raises:
        ValueError: for sizes that do not divide one another, and widths that do not fit.
    """

    rows: int
    lanes: int
    channels: int
    group: int
    sum_bits: int
    output_bits: int
    symmetric: bool
    zero_point: bool

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "channels", "group"):
            if getattr(self, name) < 1:
                raise ValueError(f"requantise {name} must be at least 1, not {getattr(self, name)}")
        if self.group % self.lanes:
            raise ValueError(f"requantise group must be a multiple of {self.lanes} lanes, not {self.group}")
        if self.channels % self.group:
            raise ValueError(f"requantise channels must be whole groups of {self.group}, not {self.channels}")
        if not 2 <= self.sum_bits <= WIDEST_SUM_BITS:
            raise ValueError(f"requantise sums must have 2 to {WIDEST_SUM_BITS} bits, not {self.sum_bits}")
        if not 2 <= self.output_bits <= 16:
            raise ValueError(f"requantise outputs must have 2 to 16 bits, not {self.output_bits}")

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: a word for each channel."""
        return {"channels": Block(self.channels, self.lanes)}

    @property
    def scaled_bits(self) -> int:
        """Width of a sum after the correction of its zero point, and of its rounded product with a channel's factor."""
        return WIDEST_SUM_BITS if self.zero_point else self.sum_bits

    @property
    def value_bits(self) -> int:
        """Width of the product of that with a row's mantissa."""
        return self.scaled_bits + RowFactor["mantissa"].width

    @property
    def stages(self) -> int:
        """Registers from the streams to a result: total 1, its product 2-3, mid 4, its product 5-6, then `Finish`."""
        return 6 + Finish.latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a beat of sums to its beat of values: buffer, stages, buffer."""
        return 1 + self.stages + 1

    @property
    def in_flight(self) -> int:
        """Beats between the buffer of the sums and the values."""
        return self.stages + 2

    @property
    def depth(self) -> int:
        """Beats that it accepts before the first has left: those in flight, and those in the buffer of the sums."""
        return self.in_flight + BUFFER_DEPTH

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other."""
        return self.channels // self.lanes

    @property
    def tile_latency(self) -> int:
        return self.latency

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles()

    @property
    def resources(self) -> Resources:
        """DSP, LUT and FF; the products' registers count here, as Yosys maps them (Vivado finds them in the DSPs)."""
        scaled, value, shift_bits = self.scaled_bits, self.value_bits, ChannelWord["shift"].width
        # Sum, mid and shift; two registers for each product, the first product without the bits that rounding ignores.
        registers = 2 * scaled + 2 * (scaled + 1) + 2 * value + shift_bits
        # Rounding of mid and the sum of the shifts; the zero point's adder and saturation.
        adders = scaled + shift_bits + (2 * WIDEST_SUM_BITS if self.zero_point else 0)
        element = Resources(dsp=2, lut=adders, ff=registers) + finish_resources(value, self.output_bits)
        # A row's factor and a lane's shift and bias wait for a later stage, in one LUT per bit.
        row = Resources(lut=RowFactor.size)
        lane = Resources(lut=shift_bits + ChannelWord["bias"].width, ff=REQUANTISE_FACTOR_BITS)
        control = Resources(lut=10, ff=self.stages + self.cycles().bit_length())
        inputs = (self.rows * self.lanes * self.sum_bits, self.lanes * ChannelWord.size, self.rows * RowFactor.size)
        buffers = sum((buffer_resources(width, 2) for width in inputs), Resources())
        buffers += pipeline_resources(self.rows * self.lanes * self.output_bits, self.in_flight)
        return element * (self.rows * self.lanes) + row * self.rows + lane * self.lanes + control + buffers

    def reference(self, sums: np.ndarray, channels: ChannelParameters, factors: RowFactors) -> np.ndarray:
        """Values [tokens, channels] of sums [tokens, channels], parameters [channels] and factors [tokens, groups].

        Raises:
            ValueError: for a channel factor that is negative or of more than `REQUANTISE_FACTOR_BITS` bits.
        """
        if channels.factor.min() < 0 or channels.factor.max() >> REQUANTISE_FACTOR_BITS:
            wrong = channels.factor[(channels.factor < 0) | (channels.factor >> REQUANTISE_FACTOR_BITS > 0)][0]
            raise ValueError(f"requantise factor must be 0..{(1 << REQUANTISE_FACTOR_BITS) - 1}, not {wrong}")
        mantissa = np.repeat(np.asarray(factors.mantissa, dtype=np.int64), self.group, axis=1)
        exponent = np.repeat(np.asarray(factors.exponent, dtype=np.int64), self.group, axis=1)
        total = np.asarray(sums, dtype=np.int64)
        if self.zero_point:
            total = saturate(total + (channels.column_sum << COLUMN_SUM_SHIFT), WIDEST_SUM_BITS)
        mid = round_shift(total * channels.factor, REQUANTISE_FACTOR_BITS)
        shift = np.minimum(channels.shift + exponent, SHIFT_LIMIT)
        return finish(mid * mantissa, shift, channels.bias, self.output_bits, symmetric=self.symmetric)


class Requantise(wiring.Component):
    """The requantiser. It takes one beat per cycle, without bubbles between groups or tiles; `RequantiseSpec.latency`.

    Members:
        sums: tile stream, rows x lanes signed ``sum_bits``.
        channels: stream of `ChannelWord` x lanes, a beat for each beat of sums.
        factors: stream of `RowFactor` x rows, a beat for each group; needed from the group's first sums on, and taken
            with its last.
        values: tile stream, rows x lanes signed ``output_bits``.
    """

    def __init__(self, spec: RequantiseSpec):
        self.spec = spec
        super().__init__(
            {
                "sums": In(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.sum_bits)))),
                "channels": In(stream.Signature(data.ArrayLayout(ChannelWord, spec.lanes))),
                "factors": In(stream.Signature(data.ArrayLayout(RowFactor, spec.rows))),
                "values": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.output_bits)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.buffer = buffer = PipelineBuffer(self.values.payload.shape(), spec.in_flight)
        sums, channels, factors = (
            buffered(m, f"{name}_buffer", getattr(self, name)) for name in ("sums", "channels", "factors")
        )
        beat = Turns("beat", spec.group // spec.lanes)
        go = join(m, [sums, channels], factors.valid & buffer.room)
        beat.step(m, go)
        m.d.comb += [
            factors.ready.eq(go & beat.last),
            buffer.take.eq(go),
            buffer.push.eq(delay(m, "valid", go, spec.stages, control=True)),
        ]
        connect(m, buffer.output, self.values)
        rows = [self._row_factor(m, row, factors.payload[row]) for row in range(spec.rows)]
        for lane in range(spec.lanes):
            channel = channels.payload[lane]
            factor, shift, bias = self._channel(m, lane, channel)
            for row, (mantissa, exponent) in enumerate(rows):
                value = self._value(m, f"{row}_{lane}", sums.payload[row][lane], channel, factor, mantissa)
                last_step = Finish(spec.value_bits, spec.output_bits, symmetric=spec.symmetric)
                m.submodules[f"finish_{row}_{lane}"] = last_step
                places = Mux(shift + exponent > SHIFT_LIMIT, SHIFT_LIMIT, shift + exponent)
                m.d.comb += [last_step.value.eq(value), last_step.shift.eq(places), last_step.bias.eq(bias)]
                m.d.comb += buffer.payload[row][lane].eq(last_step.result)
        return m

    def _row_factor(self, m: Module, row: int, factor: Any) -> tuple[Value, Value]:
        """A row's mantissa, delayed to ``mid``, and its exponent, delayed to the cycle before the shift."""
        return delay(m, f"mantissa_{row}", factor.mantissa, 4), delay(m, f"exponent_{row}", factor.exponent, 5)

    def _channel(self, m: Module, lane: int, channel: Any) -> tuple[Value, Value, Value]:
        """A lane's factor, delayed to the total; its shift, to the cycle before its use; its bias, to the value."""
        return (
            delay(m, f"factor_{lane}", channel.factor[:REQUANTISE_FACTOR_BITS], 1),
            delay(m, f"shift_{lane}", channel.shift, 5),
            delay(m, f"bias_{lane}", channel.bias, 6),
        )

    def _value(self, m: Module, name: str, total: Value, channel: Any, factor: Value, mantissa: Value) -> Value:
        """The sum times both factors. One register before each product and two after it become those of the DSP."""
        spec = self.spec

        def register(what: str, bits: int, value: Any) -> Signal:
            kept = Signal(signed(bits), name=f"{what}_{name}", reset_less=True)
            m.d.sync += kept.eq(value)
            return kept

        if spec.zero_point:
            total = saturated(total + (channel.column_sum << COLUMN_SUM_SHIFT), WIDEST_SUM_BITS)
        total = register("total", spec.scaled_bits, total)
        product = register("product", spec.scaled_bits + REQUANTISE_FACTOR_BITS, total * factor)
        product = register("product_late", len(product), product)
        mid = register("mid", spec.scaled_bits, rounded_shift(product, REQUANTISE_FACTOR_BITS))
        value = register("value", spec.value_bits, mid * mantissa)
        return register("value_late", spec.value_bits, value)
