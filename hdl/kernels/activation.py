"""The activation function (GELU or any other): a table for each layer, with interpolation between its entries.

x + 2**15 = index * 2**f + fraction                (f fraction bits: 6 for 1,024 entries and inputs of 16 bits)
y = saturate(base[index] + round_shift(delta[index] * fraction, f), 16 bits unsigned)
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Turns
from ..delay_registers import KEEP, delay
from ..fixed import limits, round_shift, rounded_shift, saturate, saturated
from ..hierarchy import place
from ..ram import Ram, RamSpec
from ..resources import Resources
from ..stream import PipelineBuffer, buffer_resources, buffered, connect, join, pipeline_resources, tile
from .parameters import Block
from .unit import UnitSpec

__all__ = ["Activation", "ActivationSpec", "TableEntry"]

ACTIVATED_BITS = 16

TableEntry = data.StructLayout({"base": unsigned(ACTIVATED_BITS), "delta": signed(16)})
"""The value at the beginning of an interval (``base``), and its rise up to the end (``delta``)."""

ENTRIES_PER_WORD = 2
"""Entries of a 64-bit word of the table's stream, the first in the low half."""

TABLES = 2
"""Tables in the RAM: the one in use, and the next one."""


@dataclass(frozen=True, kw_only=True)
class ActivationSpec(UnitSpec):
    """The size of an activation function on tiles of ``rows`` x ``features``, with ``lanes`` features in a beat.

    Inputs are signed ``input_bits``, a table has ``entries`` entries, and a layer up to ``max_tiles`` tiles.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    lanes: int
    features: int
    max_tiles: int
    entries: int = 1024
    input_bits: int = 16

    def __post_init__(self) -> None:
        for name in ("rows", "lanes", "max_tiles"):
            if getattr(self, name) < 1:
                raise ValueError(f"activation {name} must be at least 1, not {getattr(self, name)}")
        if self.features < 1 or self.features % self.lanes:
            raise ValueError(f"activation features must be a multiple of its {self.lanes} lanes, not {self.features}")
        if not 3 <= self.input_bits <= 16:
            raise ValueError(f"activation input_bits must be 3 to 16, not {self.input_bits}")
        if self.entries not in (1 << bits for bits in range(1, self.input_bits)):
            half = 1 << (self.input_bits - 1)
            raise ValueError(f"activation entries must be a power of two, 2 to {half}, not {self.entries}")

    @property
    def parameters(self) -> dict[str, Block]:
        """What the unit takes, by its member: the table."""
        return {"table": Block(self.words, 1, table=True)}

    @property
    def order_fields(self) -> tuple[str | int, ...]:
        return ("tiles",)

    @property
    def index_bits(self) -> int:
        """Bits of an input that select the entry."""
        return self.entries.bit_length() - 1

    @property
    def fraction_bits(self) -> int:
        """Bits of an input below the index."""
        return self.input_bits - self.index_bits

    @property
    def words(self) -> int:
        """64-bit words of a table."""
        return self.entries // ENTRIES_PER_WORD

    @property
    def table(self) -> RamSpec:
        """The RAM of the tables; there is a copy for each row and lane."""
        return RamSpec(TableEntry.size, TABLES * self.entries, "block")

    @property
    def stages(self) -> int:
        """Cycles from an input to its value: the table, operands, product, sum, rounding."""
        return self.table.latency + 4

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a beat of values, into a buffer, to that of its activated beat; table loaded,
        no stalls."""
        return 1 + self.stages + 1

    @property
    def load_cycles(self) -> int:
        """Cycles from the offer of a table's first word to the first values that can use it: one per entry, and one.
        Table and values both come through a buffer."""
        return self.entries + 1

    def cycles(self, tiles: int = 1) -> int:
        """Cycles for ``tiles`` tiles: one per beat, also from layer to layer if the next table is loaded in time."""
        return tiles * self.features // self.lanes

    @property
    def tile_latency(self) -> int:
        return self.latency

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles()

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates, with the registers around the products as FF."""
        # Delta, base twice, product, sum without the bits below the rounding, result; the fraction waits in LUTs.
        registers = 5 * ACTIVATED_BITS + self.fraction_bits + (ACTIVATED_BITS + 2)
        element = self.table.resources + Resources(dsp=1, lut=2 * ACTIVATED_BITS + self.fraction_bits, ff=registers)
        elements = self.rows * self.lanes
        counters = self.index_bits + (self.features // self.lanes).bit_length() + self.max_tiles.bit_length()
        writing = TableEntry.size + self.rows * (self.index_bits + TABLES)
        inputs = (elements * self.input_bits, ENTRIES_PER_WORD * TableEntry.size, self.max_tiles.bit_length())
        return (
            element * elements
            + sum((buffer_resources(width, 2) for width in inputs), Resources())
            + pipeline_resources(elements * ACTIVATED_BITS, self.stages + 2)
            + Resources(lut=TableEntry.size + counters, ff=writing + counters + self.stages + 4)
        )

    def reference(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Activated values (0..65535) of signed ``values`` of any shape, by ``table`` [entries, 2]: base, delta."""
        place_in_range = np.asarray(values, dtype=np.int64) + (1 << (self.input_bits - 1))
        base, delta = np.moveaxis(np.asarray(table, dtype=np.int64)[place_in_range >> self.fraction_bits], -1, 0)
        fraction = place_in_range & ((1 << self.fraction_bits) - 1)
        return saturate(base + round_shift(delta * fraction, self.fraction_bits), ACTIVATED_BITS, signed=False)

    def pack(self, table: np.ndarray) -> np.ndarray:
        """The words of the table's stream, uint64 [words], for ``table`` [entries, 2] of base and delta.

        Raises:
            ValueError: for a table of another shape, or with a number that does not fit.
        """
        table = np.asarray(table, dtype=np.int64)
        if table.shape != (self.entries, 2):
            raise ValueError(f"activation table must be of shape {(self.entries, 2)}, not {table.shape}")
        word = np.zeros(self.words, dtype=np.uint64)
        for column, (name, field) in enumerate(TableEntry):
            shape = Shape.cast(field.shape)
            low, high = limits(shape.width, is_signed=shape.signed)
            wrong = table[(table[:, column] < low) | (table[:, column] > high), column]
            if wrong.size:
                raise ValueError(f"activation table {name} must be {low}..{high}, not {wrong[0]}")
            bits = (table[:, column] & ((1 << shape.width) - 1)).astype(np.uint64).reshape(self.words, ENTRIES_PER_WORD)
            for entry in range(ENTRIES_PER_WORD):
                word |= bits[:, entry] << np.uint64(entry * TableEntry.size + field.offset)
        return word


class TableWrite(NamedTuple):
    """A write port of tables."""

    enable: Signal
    address: Signal
    entry: Signal


class Activation(wiring.Component):
    """The activation function: one beat per cycle; `ActivationSpec.latency`. The next layer's table loads meanwhile.

    Members:
        order: stream, a word for each layer: how many ``tiles`` use its table; taken into a buffer.
        table: stream of 64-bit words, two entries of `TableEntry` each, low entry first: `ActivationSpec.pack`.
        values: tile stream, rows x lanes signed ``input_bits``.
        activated: tile stream, rows x lanes unsigned 16.
    """

    def __init__(self, spec: ActivationSpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(data.StructLayout({"tiles": range(spec.max_tiles + 1)}))),
                "table": In(stream.Signature(unsigned(ENTRIES_PER_WORD * TableEntry.size))),
                "values": In(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.input_bits)))),
                "activated": Out(stream.Signature(tile(spec.rows, spec.lanes, unsigned(ACTIVATED_BITS)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.results = results = PipelineBuffer(self.activated.payload.shape(), spec.stages + 2)
        loaded = Signal(TABLES)  # banks whose table is complete and still needed
        writes = self._load(m, loaded)
        bank = Signal(range(TABLES))
        values, order = buffered(m, "values_buffer", self.values), buffered(m, "order_buffer", self.order)
        go = join(m, [values], order.valid & loaded.bit_select(bank, 1) & results.room)
        layer_ends = self._count(m, go, order.payload.tiles)
        with m.If(layer_ends):
            m.d.sync += [loaded.bit_select(bank, 1).eq(0), bank.eq(~bank)]
        m.d.comb += [
            order.ready.eq(layer_ends),
            results.take.eq(go),
            results.push.eq(delay(m, "valid", go, spec.stages, control=True)),
        ]
        connect(m, results.output, self.activated)
        for row, write in enumerate(writes):
            for lane in range(spec.lanes):
                ram = Ram(spec.table.width, spec.table.depth, spec.table.style)
                m.submodules[f"table_{row}_{lane}"] = place(platform, ram)
                m.d.comb += [
                    ram.write_enable.eq(write.enable),
                    ram.write_address.eq(write.address),
                    ram.write_data.eq(write.entry),
                ]
                m.d.comb += results.payload[row][lane].eq(
                    self._value(m, f"{row}_{lane}", values.payload[row][lane], ram, bank)
                )
        return m

    def _load(self, m: Module, loaded: Signal) -> list[TableWrite]:
        """Cuts the table's words into entries; returns the write port of the copies of each row, registered for its
        fan-out."""
        spec = self.spec
        address = Signal(range(spec.entries))
        bank = Signal(range(TABLES))
        part = address[: (ENTRIES_PER_WORD - 1).bit_length()]
        words = buffered(m, "table_buffer", self.table)
        accept = words.valid & ~loaded.bit_select(bank, 1)
        m.d.comb += words.ready.eq(~loaded.bit_select(bank, 1) & part.all())
        entry = Signal(TableEntry.size, name="write_entry", reset_less=True)
        m.d.sync += entry.eq(words.payload.word_select(part, TableEntry.size))
        writes = []
        for row in range(spec.rows):
            enable = Signal(name=f"write_enable_{row}", attrs=KEEP)
            where = Signal(range(TABLES * spec.entries), name=f"write_address_{row}", reset_less=True, attrs=KEEP)
            m.d.sync += [enable.eq(accept), where.eq(Cat(address, bank))]
            writes.append(TableWrite(enable, where, entry))
        write = writes[0]
        with m.If(accept):
            m.d.sync += address.eq(address + 1)
            with m.If(address == spec.entries - 1):
                m.d.sync += bank.eq(~bank)
        # The last entry is being written, and can be read from the next cycle on.
        with m.If(write.enable & write.address[:-1].all()):
            m.d.sync += loaded.bit_select(write.address[-1], 1).eq(1)
        return writes

    def _count(self, m: Module, go: Value, tiles: Value) -> Signal:
        """Counts beats and tiles; returns a strobe for the last beat of a layer of ``tiles``."""
        spec = self.spec
        beat = Turns("beat", spec.features // spec.lanes)
        # Counted from 1, so that the last one is found without a subtraction.
        place_in_layer = Signal(range(spec.max_tiles + 1), init=1, name="tile")
        tile_ends = Signal()
        layer_ends = Signal()
        m.d.comb += [
            tile_ends.eq(go & beat.last),
            layer_ends.eq(tile_ends & (place_in_layer == tiles)),
        ]
        beat.step(m, go)
        with m.If(tile_ends):
            m.d.sync += place_in_layer.eq(Mux(layer_ends, 1, place_in_layer + 1))
        return layer_ends

    def _value(self, m: Module, name: str, value: Value, ram: Ram, bank: Signal) -> Value:
        """The result of one ``value``: table and interpolation, with registers around product and sum."""
        spec = self.spec
        fraction_bits = spec.fraction_bits
        place_in_range = Cat(value[:-1], ~value[-1])  # input + 2**(input_bits - 1), unsigned
        m.d.comb += ram.read_address.eq(Cat(place_in_range[fraction_bits:], bank))
        entry = data.View(TableEntry, ram.read_data)
        fraction = delay(m, f"fraction_{name}", place_in_range[:fraction_bits], spec.table.latency + 1)
        delta, base = delay(m, f"delta_{name}", entry.delta, 1), delay(m, f"base_{name}", entry.base, 2)
        product = Signal(signed(len(delta) + fraction_bits), name=f"product_{name}", reset_less=True)
        total = Signal(signed(len(base) + fraction_bits + 2), name=f"total_{name}", reset_less=True)
        result = Signal(ACTIVATED_BITS, name=f"result_{name}", reset_less=True)
        m.d.sync += [
            product.eq(delta * fraction),
            # The base has no fraction, so rounding the sum rounds the product.
            total.eq(product + (base << fraction_bits)),
            result.eq(saturated(rounded_shift(total, fraction_bits), ACTIVATED_BITS, is_signed=False)),
        ]
        return result
