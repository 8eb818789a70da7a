"""Layer normalisation on integers: each row gets mean 0 and deviation 1, then each feature a factor and a bias.

    mean, reciprocal, places = statistics of the row        with the layer's epsilon: see `rowstatistics`
    n = round_shift((16 x - mean) * reciprocal, places)     (x - mean) / deviation, times `LayerNormSpec.unit`
    y = finish(n * factor, shift, bias)                     see `parameters.finish`

The factors of the channels include the reciprocal of the unit, which need not be a power of two.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted, Turns
from ..delay_registers import KEEP, advance, delay, registered_tree, tree_levels, tree_registers
from ..fixed import VariableShift, round_shift, saturate
from ..hierarchy import place
from ..ram import RegisteredRam, RegisteredRamSpec, small_style
from ..resources import Resources
from ..stream import PipelineBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .finish import Finish, finish_resources
from .normparameters import Epsilon, EpsilonWord, NormParameters
from .parameters import Block, ChannelWord, finish
from .rowstatistics import (
    MEAN_FRACTION,
    NORMALISED_BITS,
    NORMALISED_FRACTION,
    RECIPROCAL_BITS,
    RowStatistics,
    RowStatisticsSpec,
)
from .unit import RowUnitSpec

__all__ = ["LayerNorm", "LayerNormSpec"]

NORM_OUTPUT_BITS = 16


@dataclass(frozen=True, kw_only=True)
class LayerNormSpec(RowUnitSpec):
    """The size of a layer normalisation of tiles of ``rows`` x ``features``: ``lanes`` features in a beat, values of
    signed ``input_bits``.

    Raises:
        ValueError: for sizes below 1, lanes that do not divide the features, and what `RowStatisticsSpec` refuses.
    """

    rows: int
    lanes: int
    features: int
    input_bits: int = 17

    def __post_init__(self) -> None:
        for name in ("rows", "lanes"):
            if getattr(self, name) < 1:
                raise ValueError(f"layer norm {name} must be at least 1, not {getattr(self, name)}")
        if self.features % self.lanes:
            raise ValueError(f"layer norm features must be a multiple of {self.lanes} lanes, not {self.features}")
        _ = self.statistics

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: epsilon, and a word for each feature."""
        return {"epsilon": Block(1, 1), "channels": Block(self.features, self.lanes)}

    @property
    def statistics(self) -> RowStatisticsSpec:
        """The statistics of a row."""
        return RowStatisticsSpec(features=self.features, input_bits=self.input_bits)

    def unit(self, epsilon: Epsilon) -> float:
        """The normalised value of one deviation; the factors of the channels divide by it."""
        return float((1 << (NORMALISED_FRACTION + epsilon.places + self.statistics.scale_bits)) / self.features)

    @property
    def beats(self) -> int:
        """Beats of a tile."""
        return self.features // self.lanes

    @property
    def sum_stages(self) -> int:
        """Registers from a beat, in its buffer, to the sums: values, squares, the tree over the lanes, the sums."""
        return 3 + tree_levels(self.lanes, 2)

    @property
    def statistics_latency(self) -> int:
        """Cycles from a tile's last beat, in its buffer, to the statistics of its rows."""
        return self.sum_stages + self.statistics.latency

    @property
    def centred_bits(self) -> int:
        """Width of a value less its mean."""
        return self.statistics.mean_bits + 1

    @property
    def deviation_bits(self) -> int:
        """Width of its product with the reciprocal."""
        return self.centred_bits + RECIPROCAL_BITS

    @property
    def value_bits(self) -> int:
        """Width of a normalised value's product with the channel's factor."""
        return NORMALISED_BITS + ChannelWord["factor"].shape.width

    @property
    def normalise_stages(self) -> int:
        """Registers from a read address to a normalised value: RAM, value less mean, two of the product, the shift."""
        return self.ram.latency + 3 + VariableShift.latency

    @property
    def stages(self) -> int:
        """Registers from a read address to a result: two of the second product, and the finish."""
        return self.normalise_stages + 2 + Finish.latency

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to its first beat of results, if its channels are there."""
        return 1 + self.statistics_latency + self.stages + 2

    @property
    def channels_latency(self) -> int:
        """Cycles from the acceptance of a beat's channels to its results, if they are the last that it waits for."""
        return 1 + self.stages + 1

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other: its beats, or the statistics if they take longer."""
        return max(self.beats, self.statistics_latency + 1)

    @property
    def ram(self) -> RegisteredRamSpec:
        """The memory: a tile that waits for its statistics, and the beats that arrive during this time."""
        depth = self.beats + min(self.beats, self.statistics_latency) + 2
        return RegisteredRamSpec(self.rows * self.lanes * self.input_bits, depth, small_style(depth))

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; products take registers here, as Yosys maps them (Vivado finds them in the DSPs)."""
        row, inputs, dev = self.statistics, self.input_bits, self.deviation_bits
        # Centred value, two for each product, the first shift; the value twice, and its square.
        registers = self.centred_bits + 2 * dev + 3 * dev + NORMALISED_BITS + 2 * self.value_bits + 4 * inputs
        element = Resources(dsp=3, lut=5 * dev, ff=registers) + finish_resources(self.value_bits, NORM_OUTPUT_BITS)
        # The running sums; the statistics, kept while the tile is read and delayed to their stages.
        sums, kept = row.sum_bits + row.square_bits, row.layout.size
        rows = row.resources + Resources(lut=sums + kept, ff=sums + 2 * kept)
        tree = Resources(lut=3 * inputs * (self.lanes - 1), ff=3 * inputs * tree_registers(self.lanes, 2))
        lane = Resources(lut=ChannelWord.size - ChannelWord["column_sum"].shape.width)
        control = Resources(lut=60, ff=self.stages + 2 * self.sum_stages + 5 * self.ram.depth.bit_length())
        epsilon = Resources(ff=row.variance_bits + EpsilonWord["places"].width)
        taken = (self.rows * self.lanes * self.input_bits, self.lanes * ChannelWord.size, EpsilonWord.size)
        buffers = sum((buffer_resources(width, 2) for width in taken), Resources())
        buffers += pipeline_resources(self.rows * self.lanes * NORM_OUTPUT_BITS, self.stages + 2)
        each = rows + tree + element * self.lanes
        return each * self.rows + lane * self.lanes + self.ram.resources + control + epsilon + buffers

    def reference(self, values: np.ndarray, parameters: NormParameters) -> np.ndarray:
        """Normalised values [tokens, features] of values [tokens, features].

        Raises:
            ValueError: for an epsilon above that of the statistics.
        """
        x, channels = np.asarray(values, dtype=np.int64), parameters.channels
        row = self.statistics.reference(x.sum(axis=1), (x * x).sum(axis=1), parameters.epsilon)
        mean, reciprocal, places = (field[:, None] for field in row)
        normalised = saturate(round_shift(((x << MEAN_FRACTION) - mean) * reciprocal, places), NORMALISED_BITS)
        return finish(normalised * channels.factor, channels.shift, channels.bias, NORM_OUTPUT_BITS)


class Row(NamedTuple):
    """A row's statistics, each delayed until it is used."""

    mean: Value
    reciprocal: Value
    places: Value


class Channel(NamedTuple):
    """A lane's parameters, each delayed until it is used."""

    factor: Value
    shift: Value
    bias: Value


class LayerNorm(wiring.Component):
    """The layer normalisation. It takes and gives one beat per cycle.

    A tile leaves `LayerNormSpec.latency` cycles after its last beat, while the next one arrives.

    Members:
        values: tile stream, rows x lanes signed ``input_bits``.
        channels: stream of `ChannelWord` x lanes, a beat for each beat of a tile, taken before the tile leaves: see
            `NormParameters`.
        epsilon: stream of `EpsilonWord`, a word for each tile, taken before the tile's last beat.
        normalised: tile stream, rows x lanes signed 16.
    """

    def __init__(self, spec: LayerNormSpec):
        self.spec = spec
        super().__init__(
            {
                "values": In(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.input_bits)))),
                "channels": In(stream.Signature(data.ArrayLayout(ChannelWord, spec.lanes))),
                "epsilon": In(stream.Signature(EpsilonWord)),
                "normalised": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(NORM_OUTPUT_BITS)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.ram = ram = RegisteredRam(spec.ram)
        rows = [RowStatistics(spec.statistics) for _ in range(spec.rows)]
        for i, row in enumerate(rows):
            m.submodules[f"statistics_{i}"] = place(platform, row)
        # A tile's last beat waits until the statistics of the last tile are taken.
        room = Counted("room", spec.ram.depth, init=spec.ram.depth)
        busy = Signal()
        take = Signal()
        written, complete = self._fill(m, ram, rows, room.some, ~busy)
        sent = self._send(m, ram, rows, take)
        room.step(m, up=sent, down=written)
        m.d.sync += [busy.eq((busy | complete) & ~take)]
        return m

    def _fill(
        self, m: Module, ram: RegisteredRam, rows: list[RowStatistics], room: Value, free: Value
    ) -> tuple[Value, Value]:
        """Writes beats into the RAM and sums them; returns the strobes of a written beat and of a tile's last beat."""
        spec = self.spec
        given, word = buffered(m, "values_buffer", self.values), buffered(m, "epsilon_buffer", self.epsilon)
        beat, first = Turns("beat", spec.beats), Signal(init=1)
        last = beat.last
        go = join(m, [given], room & ((free & word.valid) | ~last))
        beat.step(m, go)
        with m.If(go):
            m.d.sync += first.eq(last)
        advance(m, ram.write_address, spec.ram.depth, go)
        m.d.comb += [
            ram.write_enable.eq(go),
            ram.write_data.eq(Value.cast(given.payload)),
            word.ready.eq(go & last),
        ]
        # It stays until the statistics are taken, because the next last beat waits for that.
        epsilon = Signal(EpsilonWord, reset_less=True)
        with m.If(go & last):
            m.d.sync += epsilon.eq(word.payload)
        m.d.comb += [row.epsilon.eq(epsilon) for row in rows]
        # Each row has the last register of its own, as its sums are wide.
        arrived_early = delay(m, "arrived", go, spec.sum_stages - 2, control=True)
        first_early = delay(m, "first", first, spec.sum_stages - 2)
        complete = delay(m, "complete", go & last, spec.sum_stages, control=True)
        for i, row in enumerate(rows):
            arrived = Signal(name=f"arrived_{i}", attrs=KEEP)
            first = Signal(name=f"first_{i}", reset_less=True, attrs=KEEP)
            m.d.sync += [arrived.eq(arrived_early), first.eq(first_early)]
            values = [delay(m, f"value_{i}_{lane}", x, 1) for lane, x in enumerate(given.payload[i])]
            squares = [delay(m, f"square_{i}_{lane}", (x * x).as_unsigned(), 1) for lane, x in enumerate(values)]
            values = [delay(m, f"waiting_{i}_{lane}", x, 1) for lane, x in enumerate(values)]
            for name, terms in (("total", values), ("squares", squares)):
                term = registered_tree(m, f"{name}_{i}", terms, lambda a, b: a + b, fan_in=2)
                total = Signal(spec.statistics.sums[name].shape, name=f"{name}_{i}", reset_less=True)
                with m.If(arrived):
                    m.d.sync += total.eq(Mux(first, 0, total) + term)
                m.d.comb += row.input.payload[name].eq(total)
            m.d.comb += row.input.valid.eq(complete)
        return go, go & last

    def _send(self, m: Module, ram: RegisteredRam, rows: list[RowStatistics], take: Signal) -> Value:
        """Reads the tile whose statistics are there, normalises and sends it; returns the strobe of a read beat."""
        spec = self.spec
        m.submodules.buffer = buffer = PipelineBuffer(self.normalised.payload.shape(), spec.stages + 2)
        connect(m, buffer.output, self.normalised)
        sending = Signal()
        beat = Turns("beat_sent", spec.beats)
        channels = buffered(m, "channels_buffer", self.channels)
        read = join(m, [channels], sending & buffer.room)
        ends = read & beat.last
        beat.step(m, read)
        advance(m, ram.read_address, spec.ram.depth, read)
        m.d.sync += sending.eq(take | (sending & ~ends))
        m.d.comb += [
            take.eq(rows[0].output.valid & (~sending | ends)),
            buffer.take.eq(read),
            buffer.push.eq(delay(m, "valid", read, spec.stages, control=True)),
        ]
        m.d.comb += [row.output.ready.eq(take) for row in rows]
        word = self.values.payload.shape()(ram.read_data)
        statistics = [self._row(m, i, row, take) for i, row in enumerate(rows)]
        for lane in range(spec.lanes):
            channel = self._channel(m, lane, channels.payload[lane])
            for i, row in enumerate(statistics):
                m.d.comb += buffer.payload[i][lane].eq(self._value(m, f"{i}_{lane}", word[i][lane], row, channel))
        return read

    def _row(self, m: Module, i: int, row: RowStatistics, take: Value) -> Row:
        """Keeps a row's statistics while its tile is read, and delays each until it is used."""
        kept = Signal(row.output.payload.shape(), name=f"statistics_{i}", reset_less=True)
        with m.If(take):
            m.d.sync += kept.eq(row.output.payload)
        wait = self.spec.ram.latency
        return Row(
            delay(m, f"mean_{i}", kept.mean, wait),
            delay(m, f"reciprocal_{i}", kept.reciprocal, wait + 1),
            delay(m, f"places_{i}", kept.places, wait + 2),
        )

    def _channel(self, m: Module, lane: int, channel: Any) -> Channel:
        """Delays each of a lane's parameters until it is used."""
        wait = self.spec.normalise_stages
        return Channel(
            delay(m, f"factor_{lane}", channel.factor, wait),
            delay(m, f"shift_{lane}", channel.shift, wait + 1),
            delay(m, f"bias_{lane}", channel.bias, wait + 2),
        )

    def _value(self, m: Module, name: str, value: Value, row: Row, channel: Channel) -> Value:
        """A value, normalised and scaled. One register before each product and two after it become those of the DSP."""
        spec = self.spec
        shift = VariableShift(spec.deviation_bits, NORMALISED_BITS, shift_bits=len(row.places))
        end = Finish(spec.value_bits, NORM_OUTPUT_BITS)
        m.submodules[f"shift_{name}"], m.submodules[f"finish_{name}"] = shift, end
        centred = Signal(signed(spec.centred_bits), name=f"centred_{name}", reset_less=True)
        m.d.sync += centred.eq((value << MEAN_FRACTION) - row.mean)
        m.d.comb += [
            shift.value.eq(delay(m, f"deviation_{name}", centred * row.reciprocal, 2)),
            shift.shift.eq(row.places),
            end.value.eq(delay(m, f"scaled_{name}", shift.result * channel.factor, 2)),
            end.shift.eq(channel.shift),
            end.bias.eq(channel.bias),
        ]
        return end.result
