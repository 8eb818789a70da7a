"""The systolic array: T rows x C columns x D deep of multipliers, shared by all linear units, scores and weighted sums.

Output-stationary: each cycle one word of T x D activations enters at column 0 and travels a column a cycle; every
column reads its own RAM for D weights, adds D products a row to T running sums, and at the last word of a pass hands
them to a chain that carries them out. Wires run between neighbours only.
"""

from dataclasses import astuple, dataclass
from itertools import pairwise
from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..dsp import CASCADE, SUM_BITS, Cascade
from ..hierarchy import place
from ..memory import Ram, RamSpec
from ..pipeline import delay
from ..resources import Resources
from ..stream import StreamBuffer, buffer_resources, join, tile

__all__ = ["ArraySpec", "SystolicArray", "WritePort"]

ACTIVATION_BITS = 8


def sum_bits(terms: int) -> int:
    """Bits of a signed sum of ``terms`` products of int8 activations (-128..127) and weights (-127..127)."""
    return (terms * 128 * 127).bit_length() + 1


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Geometry of a systolic array.

    ``rows`` tokens (even) x ``columns`` output features or keys x ``cascades`` * 8 terms a cycle; ``lanes`` sums of a
    row leave in a beat, ``least_words`` is the shortest pass at full pace (words of activations), ``terms`` the
    longest contraction, ``ram_depth`` the words of each weight RAM, of ``ram_style``; ``byte_enables`` where weights
    are written byte by byte.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    columns: int
    cascades: int
    lanes: int
    terms: int
    least_words: int
    ram_depth: int
    ram_style: str = "ultra"
    byte_enables: bool = False

    def __post_init__(self) -> None:
        if self.rows not in (2, 4, 8):
            raise ValueError(f"array rows must be 2, 4 or 8, not {self.rows}")
        if self.columns < 1 or not 1 <= self.cascades <= 8:
            raise ValueError(f"array must have a column and 1 to 8 cascades, not {self.columns} and {self.cascades}")
        if self.lanes < 1 or self.columns % self.lanes:
            raise ValueError(f"array lanes must divide its {self.columns} columns, not {self.lanes}")
        if sum_bits(self.terms) > 27:
            raise ValueError(f"array contraction must have at most 4096 terms, not {self.terms}")

    @property
    def depth(self) -> int:
        """Terms a row and column takes each cycle, D."""
        return self.cascades * CASCADE

    @property
    def chain(self) -> int:
        """Columns that share a lane of the output."""
        return self.columns // self.lanes

    @property
    def sum_bits(self) -> int:
        """Width of a sum; no wrapping is possible."""
        return sum_bits(self.terms)

    @property
    def macs(self) -> int:
        """Multiplications a cycle."""
        return self.rows * self.columns * self.depth

    @property
    def ram(self) -> RamSpec:
        """The weight RAM of one cascade."""
        return RamSpec(8 * CASCADE, self.ram_depth, self.ram_style, 8 if self.byte_enables else 0)

    @property
    def address_bits(self) -> int:
        """Bits of a RAM's address."""
        return Shape.cast(range(max(self.ram_depth, 2))).width

    @property
    def sum_delay(self) -> int:
        """Cycles from a read address at a column to the column's finished sum of that word."""
        return self.ram.latency + Cascade.latency + (1 if self.cascades > 1 else 0)

    @property
    def read_delay(self) -> int:
        """Cycles from the acceptance of a read address to its reading in the last column."""
        return 2 + self.columns

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a pass's last word to the acceptance of its first beat of sums, no stalls."""
        # Edge register, the sum, its accumulation and copy; the last lane's columns; load, FIFO.
        return 1 + self.sum_delay + 2 + self.columns + 2

    @property
    def passes_in_flight(self) -> int:
        """Passes the output FIFO has room for: those that start before a first pass has left, so that none waits."""
        return ceil((self.latency + self.chain + 2) / self.pass_cycles(self.least_words)) + 1

    def pass_cycles(self, words: int) -> int:
        """Cycles a pass of so many words takes: no less than its sums need to leave."""
        return max(words, self.chain)

    @property
    def fifo_depth(self) -> int:
        """Beats of the output FIFO."""
        return max(self.chain * self.passes_in_flight, 2)

    def feature(self, column: int) -> int:
        """Which of a pass's features a column computes, so that the lanes of a beat are consecutive features."""
        return (column % self.chain) * self.lanes + column // self.chain

    @property
    def column_resources(self) -> Resources:
        """DSPs, RAMs, LUT and FF of one column; LUT and FF are estimates."""
        sums, adders = self.rows * self.sum_bits, self.rows * (SUM_BITS + 1) * (self.cascades - 1)
        # The bytes of a weight wait 0..7 cycles: up to two in flip-flops, longer ones in shift-register LUTs.
        skew = Resources(lut=5 * 8, ff=(1 + 2) * 8) * self.cascades
        wave = self.rows * self.depth * ACTIVATION_BITS + self.ram_depth.bit_length() + FLAGS.size
        totals = self.rows * (SUM_BITS + 2) if adders else 0
        cascades = Cascade.resources * (self.rows // 2 * self.cascades)
        own = Resources(lut=2 * sums + adders + 12, ff=wave + 3 * sums + totals + 2)
        return cascades + self.ram.resources * self.cascades + skew + own

    @property
    def resources(self) -> Resources:
        """DSPs, RAMs, LUT and FF of the whole array; LUT and FF are estimates."""
        bits = self.rows * self.depth * ACTIVATION_BITS
        # The edge delays byte i of every word by i and the RAM's cycles, three and more of them in shift-register LUTs.
        edge = Resources(lut=bits + 60, ff=bits // CASCADE + self.ram_depth.bit_length() + 120)
        fifo = buffer_resources(self.rows * self.sum_bits, self.fifo_depth) * self.lanes
        return self.column_resources * self.columns + fifo + edge


def WritePort(spec: ArraySpec) -> wiring.Signature:
    """The write side of one column's RAMs: for each cascade an address, a word, and an enable a byte or a word."""
    enables = CASCADE if spec.byte_enables else 1
    return wiring.Signature(
        {
            "enable": Out(spec.cascades * enables),
            "address": Out(spec.cascades * spec.address_bits),
            "data": Out(spec.cascades * CASCADE * 8),
        }
    )


def activation_word(spec: ArraySpec) -> data.StructLayout:
    """A word of activations, and whether it ends a pass."""
    return data.StructLayout({"word": tile(spec.rows, spec.depth, signed(ACTIVATION_BITS)), "last": 1})


FLAGS = data.StructLayout({"valid": 1, "first": 1, "last": 1})
"""What a column must know of the word whose sum arrives."""


def wave_members(spec: ArraySpec, direction: Any) -> dict[str, Any]:
    """What travels from column to column: the read address, the activations (skewed), the flags (at the time of the
    sum).

    Activations are plain bits, [row][cascade][byte]: a view of each would name thousands of wires in the Verilog.
    """
    return {
        "address": direction(spec.address_bits),
        "activations": direction(unsigned(spec.rows * spec.depth * ACTIVATION_BITS)),
        "flags": direction(FLAGS),
    }


class Column(wiring.Component):
    """One column: weight RAMs, cascades, T accumulators, and its place in the output chain."""

    def __init__(self, spec: ArraySpec):
        self.spec = spec
        chain = unsigned(spec.rows * spec.sum_bits)
        super().__init__(
            {
                "before": In(wiring.Signature(wave_members(spec, Out))),
                "after": Out(wiring.Signature(wave_members(spec, Out))),
                "write": In(WritePort(spec)),
                "load": In(1),
                "chain_in": In(chain),
                "chain_out": Out(chain),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        # Everything is registered here and used from the register, so a wire spans one column.
        address = Signal.like(self.after.address, reset_less=True)
        activations = Signal.like(self.after.activations, reset_less=True)
        arrived = Signal(FLAGS)
        m.d.sync += [
            address.eq(self.before.address),
            activations.eq(self.before.activations),
            arrived.eq(self.before.flags),
        ]
        m.d.comb += [
            self.after.address.eq(address),
            self.after.activations.eq(activations),
            self.after.flags.eq(arrived),
        ]
        complete, load = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [complete.eq(arrived.valid & arrived.last), load.eq(self.load)]
        sums = [self._cascades(m, platform, p, address, activations) for p in range(spec.cascades)]
        for row in range(spec.rows):
            accumulator = self._accumulate(m, row, [cascade[row] for cascade in sums], arrived)
            finished = Signal.like(accumulator, name=f"finished{row}")
            outgoing = Signal.like(accumulator, name=f"outgoing{row}")
            with m.If(complete):
                m.d.sync += finished.eq(accumulator)
            m.d.sync += outgoing.eq(Mux(load, finished, self.chain_in.word_select(row, spec.sum_bits)))
            m.d.comb += self.chain_out.word_select(row, spec.sum_bits).eq(outgoing)
        return m

    def _cascades(self, m: Module, platform: Any, p: int, address: Signal, activations: Any) -> list[Any]:
        """RAM p and its cascades, one for two rows; the sums of all rows."""
        spec = self.spec
        ram = Ram(*astuple(spec.ram))
        m.submodules[f"ram_{p}"] = place(platform, ram)
        enables = len(self.write.enable) // spec.cascades
        m.d.comb += [
            ram.write_enable.eq(self.write.enable.word_select(p, enables)),
            ram.write_address.eq(self.write.address.word_select(p, spec.address_bits)),
            ram.write_data.eq(self.write.data.word_select(p, 8 * CASCADE)),
            ram.read_address.eq(address),
        ]
        skewed = skew(m, f"weight{p}", [ram.read_data.word_select(i, 8) for i in range(CASCADE)])
        sums = []
        for pair in range(spec.rows // 2):
            cascade = Cascade()
            m.submodules[f"cascade_{p}_{pair}"] = place(platform, cascade)
            places = [(2 * pair + r) * spec.cascades + p for r in range(2)]
            m.d.comb += [
                cascade.weights.eq(Cat(skewed)),
                cascade.activations.eq(Cat(activations.word_select(place, 8 * CASCADE) for place in places)),
            ]
            sums += [cascade.sums[:SUM_BITS].as_signed(), cascade.sums[SUM_BITS:].as_signed()]
        return sums

    def _accumulate(self, m: Module, row: int, parts: list[Any], arrived: Any) -> Signal:
        if len(parts) == 1:
            total = parts[0]
        else:
            total = Signal(signed(SUM_BITS + (len(parts) - 1).bit_length()), name=f"total{row}", reset_less=True)
            m.d.sync += total.eq(balanced(parts))
        accumulator = Signal(signed(self.spec.sum_bits), name=f"accumulator{row}", reset_less=True)
        with m.If(arrived.valid):
            m.d.sync += accumulator.eq(Mux(arrived.first, 0, accumulator) + total)
        return accumulator


def balanced(terms: list[Any]) -> Any:
    """A balanced adder tree."""
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + terms[len(terms) & ~1 :]
    return terms[0]


def skew(m: Module, name: str, values: list[Any], extra: int = 0) -> list[Any]:
    """``values[i]`` delayed by ``i + extra`` cycles."""
    return [delay(m, f"{name}_{i}", value, i + extra) for i, value in enumerate(values)]


class SystolicArray(wiring.Component):
    """C columns with their edge: a word of activations and a read address in each cycle, ``lanes`` sums a row out.

    Members: ``activations`` (stream of {word: T x D int8, last: ends a pass}), ``addresses`` (stream; the RAM address
    of the same word's weights), ``write[c]`` (columns' RAMs), ``sums`` (tile stream, T x lanes signed
    `ArraySpec.sum_bits`; ``columns`` features a pass). A pass starts only when the output FIFO has room for it, so
    nothing inside ever stalls.
    """

    def __init__(self, spec: ArraySpec):
        self.spec = spec
        super().__init__(
            {
                "activations": In(stream.Signature(activation_word(spec))),
                "addresses": In(stream.Signature(Shape.cast(spec.address_bits))),
                "write": In(WritePort(spec)).array(spec.columns),
                "sums": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(spec.sum_bits)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        columns = [Column(spec) for _ in range(spec.columns)]
        for c, column in enumerate(columns):
            m.submodules[f"column_{c}"] = place(platform, column)
            wiring.connect(m, wiring.flipped(self.write[c]), column.write)
            if c:
                wiring.connect(m, columns[c - 1].after, column.before)
        pass_ends = self._edge(m, columns[0])
        self._drain(m, columns, pass_ends)
        return m

    def _edge(self, m: Module, column: Column) -> Signal:
        """Feeds column 0; returns a strobe for the word that ends a pass."""
        spec = self.spec
        in_flight, beat = Signal(range(spec.passes_in_flight + 1)), Signal(range(max(spec.chain, 2)))
        first = Signal(init=1)
        room = Signal()
        since_end = Signal(range(spec.chain + 1))  # cycles since a pass ended, counting to the chain's length
        m.d.comb += room.eq(
            (~first | (in_flight != spec.passes_in_flight))
            & (~self.activations.payload.last | (since_end >= spec.chain - 1))
        )
        go = join(m, [self.activations, self.addresses], room)
        word, last = self.activations.payload.word, self.activations.payload.last
        left = self.sums.valid & self.sums.ready
        pass_left = left & (beat == spec.chain - 1)
        m.d.sync += in_flight.eq(in_flight + (go & first) - pass_left)
        with m.If(left):
            m.d.sync += beat.eq(Mux(pass_left, 0, beat + 1))
        with m.If(go):
            m.d.sync += first.eq(last)
        with m.If(go & last):
            m.d.sync += since_end.eq(0)
        with m.Elif(since_end != spec.chain):
            m.d.sync += since_end.eq(since_end + 1)

        sent = Signal(FLAGS)
        m.d.comb += [sent.valid.eq(go), sent.first.eq(first), sent.last.eq(last)]
        m.d.sync += column.before.address.eq(self.addresses.payload)
        m.d.comb += column.before.flags.eq(delay(m, "flags", sent.as_value(), spec.sum_delay + 1, control=True))
        # Byte i of every word is i cycles late, and all wait for the RAM.
        chosen = [word.as_value().word_select(i, ACTIVATION_BITS) for i in range(spec.rows * spec.depth)]
        late = skew(m, "activation", [Cat(chosen[i::CASCADE]) for i in range(CASCADE)], 1 + spec.ram.latency)
        for i, group in enumerate(late):
            for k in range(spec.rows * spec.cascades):
                place = column.before.activations.word_select(k * CASCADE + i, ACTIVATION_BITS)
                m.d.comb += place.eq(group.word_select(k, ACTIVATION_BITS))
        return go & last

    def _drain(self, m: Module, columns: list[Column], pass_ends: Any) -> None:
        """Loads each lane's chain when its last column has finished, and shifts it out into the lane's FIFO."""
        spec = self.spec
        fifos = []
        for lane in range(spec.lanes):
            group = columns[lane * spec.chain : (lane + 1) * spec.chain]
            load = delay(m, f"load{lane}", pass_ends, (lane + 1) * spec.chain + spec.sum_delay + 2, control=True)
            m.d.comb += [column.load.eq(load) for column in group]
            m.d.comb += [a.chain_in.eq(b.chain_out) for a, b in pairwise(group)]
            leaving = Signal(range(spec.chain + 1), name=f"leaving{lane}")
            loaded = delay(m, f"loaded{lane}", load, 1, control=True)
            with m.If(loaded):
                m.d.sync += leaving.eq(spec.chain)
            with m.Elif(leaving != 0):
                m.d.sync += leaving.eq(leaving - 1)
            fifo = StreamBuffer(group[0].chain_out.shape(), spec.fifo_depth)
            m.submodules[f"fifo_{lane}"] = fifo
            m.d.comb += [
                fifo.input.valid.eq(leaving != 0),
                fifo.input.payload.eq(group[0].chain_out),
                fifo.output.ready.eq(self.sums.valid & self.sums.ready),
            ]
            sums = [fifo.output.payload.word_select(r, spec.sum_bits) for r in range(spec.rows)]
            m.d.comb += [self.sums.payload[r][lane].eq(value) for r, value in enumerate(sums)]
            fifos.append(fifo)
        m.d.comb += self.sums.valid.eq(Cat(fifo.output.valid for fifo in fifos).all())
