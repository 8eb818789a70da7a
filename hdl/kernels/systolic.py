"""The systolic array: T rows x C columns x D deep of multipliers, shared by all linear units, scores and weighted sums.

The array is output-stationary. In each cycle one word of T x D activations enters at column 0 and then moves by one
column per cycle. Each column reads D weights from its own RAM and adds D products per row to T running sums. With the
last word of a pass it copies the sums to a chain, which carries them out. Wires run between neighbours only.

Timing of an array with 3 columns, 1 lane and 1 cascade, in two passes of 2 words: words a0 and a1, then b0 and b1.
A1 is the sum of the first pass in column 1. The lines are signals of `SystolicArray` and of its columns.

    cycle                   0  1  2  3  4  5  6  7  8 .. 16 17 18 19 20 21 22 23 24 25 26 27
    go                     a0 a1 b0  . b1  .  .  .  . ..  .  .  .  .  .  .  .  .  .  .  .  .
    column 0: address       .  . a0 a1 b0  . b1  .  . ..  .  .  .  .  .  .  .  .  .  .  .  .
    column 1: address       .  .  . a0 a1 b0  . b1  . ..  .  .  .  .  .  .  .  .  .  .  .  .
    column 2: address       .  .  .  . a0 a1 b0  . b1 ..  .  .  .  .  .  .  .  .  .  .  .  .
    column 0: its sum       .  .  .  .  .  .  .  .  . .. a0 a1 b0  . b1  .  .  .  .  .  .  .
    column 1: its sum       .  .  .  .  .  .  .  .  . ..  . a0 a1 b0  . b1  .  .  .  .  .  .
    column 2: its sum       .  .  .  .  .  .  .  .  . ..  .  . a0 a1 b0  . b1  .  .  .  .  .
    column 0: accumulator   .  .  .  .  .  .  .  .  . ..  . a0 A0 b0 b0 B0 B0 B0 B0 B0 B0 B0
    column 0: finished      .  .  .  .  .  .  .  .  . ..  .  .  . A0 A0 A0 B0 B0 B0 B0 B0 B0
    column 1: finished      .  .  .  .  .  .  .  .  . ..  .  .  .  . A1 A1 A1 B1 B1 B1 B1 B1
    column 2: finished      .  .  .  .  .  .  .  .  . ..  .  .  .  .  . A2 A2 A2 B2 B2 B2 B2
    all:      load          .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  1  .  .  1  .  .  .
    column 0: outgoing      .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  . A0 A1 A2 B0 B1 B2
    column 1: outgoing      .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  . A1 A2  . B1 B2  .
    column 2: outgoing      .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  . A2  .  . B2  .  .
    leaving                 .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  .  3  2  1  3  2  1
    sums                    .  .  .  .  .  .  .  .  . ..  .  .  .  .  .  .  . A0 A1 A2 B0 B1

A word is in column c after `ArraySpec.entry_delay` (here 2) + c cycles, and its sum there `ArraySpec.sum_delay` (here
14) cycles later.
The accumulator has a pass's sum one cycle after the sum of its last word, and ``finished`` has it one cycle later
(`ArraySpec.finished`). ``finished`` keeps it until the next pass ends. So the columns of a lane load their chain
together (``load``, `ArraySpec.load_delay`), when the last of them has finished. From the next cycle on, the chain
moves the sums towards column 0, ``leaving`` counts those that remain, and the FIFO offers each one cycle later.

A chain must be empty when it is loaded again. So the last words of two passes are at least ``chain`` (here 3) cycles
apart: b1 waits in cycle 3.
"""

from dataclasses import astuple
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import KEEP, delay
from ..dsp import CASCADE, CASCADE_SUM_BITS, Cascade
from ..hierarchy import place
from ..ram import Ram
from ..stream import StreamBuffer, join, tile
from .arrayspec import ACTIVATION_BITS, FLAGS, ArraySpec

__all__ = ["ArraySpec", "SystolicArray", "WordOffer", "WritePort"]


def WritePort(spec: ArraySpec) -> wiring.Signature:
    """The write ports of one column's RAMs. Each cascade has an address, a word, and an enable per byte or word."""
    enables = CASCADE if spec.byte_enables else 1
    return wiring.Signature(
        {
            "enable": Out(spec.cascades * enables),
            "address": Out(spec.cascades * spec.address_bits),
            "data": Out(spec.cascades * CASCADE * 8),
        }
    )


WordOffer = data.StructLayout({"last": 1})
"""A word that is there: whether it is the ``last`` of a pass."""


def wave_members(spec: ArraySpec, direction: Any) -> dict[str, Any]:
    """The signals that move from column to column: a word's read address, its activations and its flags.

    Byte i of the activations comes i cycles after byte 0, because element i of a cascade does. The flags come with the
    word's sum. Activations are plain bits, [row][cascade][byte]; a view would name thousands of wires in the Verilog.
    """
    return {
        "address": direction(spec.address_bits),
        "activations": direction(unsigned(spec.rows * spec.depth * ACTIVATION_BITS)),
        "flags": direction(FLAGS),
    }


class Column(wiring.Component):
    """One column: weight RAMs, cascades, T accumulators, and its place in the output chain.

    A write reaches the RAMs one cycle after it was given.
    """

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
        # The column registers all that enters and uses only the registers, so no wire is longer than one column.
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
        complete = Signal(reset_less=True)
        load = Signal(reset_less=True)
        m.d.sync += [complete.eq(arrived.valid & arrived.last), load.eq(self.load)]
        sums = [self._cascades(m, platform, p, address, activations) for p in range(spec.cascades)]
        for row in range(spec.rows):
            # The accumulators of each row have a register that drives them alone.
            first = Signal(name=f"first{row}", reset_less=True, attrs=KEEP)
            m.d.sync += first.eq(self.before.flags.first)
            # These have a pass's sum from `ArraySpec.finished` - 1 and from `ArraySpec.finished` on.
            accumulator = self._accumulate(m, row, [cascade[row] for cascade in sums], arrived.valid, first)
            finished = Signal.like(accumulator, name=f"finished{row}")
            outgoing = Signal.like(accumulator, name=f"outgoing{row}")
            with m.If(complete):
                m.d.sync += finished.eq(accumulator)
            m.d.sync += outgoing.eq(Mux(load, finished, self.chain_in.word_select(row, spec.sum_bits)))
            m.d.comb += self.chain_out.word_select(row, spec.sum_bits).eq(outgoing)
        return m

    def _cascades(self, m: Module, platform: Any, p: int, address: Signal, activations: Any) -> list[Any]:
        """Adds RAM p and its cascades, one for every two rows; returns the sums of all rows."""
        spec = self.spec
        ram = Ram(*astuple(spec.ram))
        m.submodules[f"ram_{p}"] = place(platform, ram)
        enables = len(self.write.enable) // spec.cascades
        for name, sink, value in (
            ("enable", ram.write_enable, self.write.enable.word_select(p, enables)),
            ("address", ram.write_address, self.write.address.word_select(p, spec.address_bits)),
            ("data", ram.write_data, self.write.data.word_select(p, 8 * CASCADE)),
        ):
            register = Signal.like(sink, name=f"write_{name}{p}", reset_less=name != "enable")
            m.d.sync += register.eq(value)
            m.d.comb += sink.eq(register)
        m.d.comb += ram.read_address.eq(address)
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
            sums += [cascade.sums[:CASCADE_SUM_BITS].as_signed(), cascade.sums[CASCADE_SUM_BITS:].as_signed()]
        return sums

    def _accumulate(self, m: Module, row: int, parts: list[Any], valid: Value, first: Value) -> Signal:
        """Adds the sums ``parts`` of a row's cascades to its accumulator, which begins anew with each pass."""
        if len(parts) == 1:
            total = parts[0]
        else:
            total = Signal(
                signed(CASCADE_SUM_BITS + (len(parts) - 1).bit_length()), name=f"total{row}", reset_less=True
            )
            m.d.sync += total.eq(balanced(parts))
        accumulator = Signal(signed(self.spec.sum_bits), name=f"accumulator{row}", reset_less=True)
        with m.If(valid):
            m.d.sync += accumulator.eq(Mux(first, 0, accumulator) + total)
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
    """C columns and their edge. It takes a word of activations and a read address per cycle, and gives tiles of sums.

    A pass starts only when the output FIFO has room for all its sums, so nothing inside the array ever stalls.

    Members:
        offers: stream of `WordOffer`: a word of activations that is there.
        word: the word, [row][feature] int8, `ArraySpec.word_latency` cycles after its offer was taken.
        addresses: stream; the RAM address of the same word's weights.
        write[c]: the write ports of column c's RAMs.
        sums: tile stream, T x ``lanes`` signed `ArraySpec.sum_bits`; ``columns`` features in each pass.
    """

    def __init__(self, spec: ArraySpec):
        self.spec = spec
        super().__init__(
            {
                "offers": In(stream.Signature(WordOffer)),
                "word": In(spec.rows * spec.depth * ACTIVATION_BITS),
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
        go, first = self._admit(m)
        self._enter(m, columns[0], go, first)
        self._drain(m, columns, go & self.offers.payload.last)
        return m

    def _admit(self, m: Module) -> tuple[Value, Signal]:
        """Accepts words; returns whether one is accepted now, and whether it would be the first of its pass.

        A first word needs room in the FIFO for its pass. A last word comes at least ``chain`` cycles after the one
        before, so that the chain is empty when it is loaded.
        """
        spec, last = self.spec, self.offers.payload.last
        in_flight = Signal(range(spec.passes_in_flight + 1))
        beat = Signal(range(max(spec.chain, 2)))
        first = Signal(init=1)
        room = Signal()
        left_in_chain = Signal(range(spec.chain))  # cycles until a last word may enter
        spaced = Signal(init=1)  # there are none
        m.d.comb += room.eq((~first | (in_flight != spec.passes_in_flight)) & (~last | spaced))
        go = join(m, [self.offers, self.addresses], room)
        left = self.sums.valid & self.sums.ready
        pass_left = left & (beat == spec.chain - 1)
        m.d.sync += in_flight.eq(in_flight + (go & first) - pass_left)
        with m.If(left):
            m.d.sync += beat.eq(Mux(pass_left, 0, beat + 1))
        with m.If(go):
            m.d.sync += first.eq(last)
        with m.If(go & last):
            m.d.sync += [left_in_chain.eq(spec.chain - 1), spaced.eq(spec.chain == 1)]
        with m.Elif(~spaced):
            m.d.sync += [left_in_chain.eq(left_in_chain - 1), spaced.eq(left_in_chain == 1)]
        return go, first

    def _enter(self, m: Module, column: Column, go: Value, first: Signal) -> None:
        """Sends a word into column 0: its address at once, its activations and flags when they are due there."""
        spec = self.spec
        sent = Signal(FLAGS)
        m.d.comb += [sent.valid.eq(go), sent.first.eq(first), sent.last.eq(self.offers.payload.last)]
        m.d.comb += column.before.address.eq(delay(m, "address", self.addresses.payload, spec.entry_delay - 1))
        m.d.comb += column.before.flags.eq(delay(m, "flags", sent.as_value(), spec.flags_delay, control=True))
        # Group i has byte i of every cascade of every row, which comes i cycles late.
        values = [self.word.word_select(i, ACTIVATION_BITS) for i in range(spec.rows * spec.depth)]
        late = skew(m, "activation", [Cat(values[i::CASCADE]) for i in range(CASCADE)], spec.activation_delay)
        for i, group in enumerate(late):
            for k in range(spec.rows * spec.cascades):
                place = column.before.activations.word_select(k * CASCADE + i, ACTIVATION_BITS)
                m.d.comb += place.eq(group.word_select(k, ACTIVATION_BITS))

    def _drain(self, m: Module, columns: list[Column], pass_ends: Value) -> None:
        """Loads each lane's chain when its last column has finished, and moves it into the lane's FIFO.

        ``pass_ends``: a pass's last word enters. The module's diagram shows ``load`` and ``leaving``.
        """
        spec = self.spec
        fifos = []
        for lane in range(spec.lanes):
            group = columns[lane * spec.chain : (lane + 1) * spec.chain]
            load = delay(m, f"load{lane}", pass_ends, spec.load_delay(lane), control=True)
            m.d.comb += [column.load.eq(load) for column in group]
            m.d.comb += [a.chain_in.eq(b.chain_out) for a, b in pairwise(group)]
            leaving = Signal(range(spec.chain + 1), name=f"leaving{lane}")  # sums in the chain
            loaded = delay(m, f"loaded{lane}", load, 1, control=True)  # as the columns register it
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
