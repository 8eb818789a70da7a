"""The key and value buffers: two banks, a layer in each, in the RAMs of the systolic array that reads them as weights.

While one layer's keys and values are read, tile after tile, the next layer's are written. Bidirectional attention
needs every key of a layer before its first score: a bank is read only when it is complete, which is the one barrier
of the pipeline.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..resources import Resources

__all__ = ["BankOrder", "BankReader", "BankSpec", "Placement", "Repeat"]


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """Where a layer's words lie in each RAM: ``heads`` x ``max_passes`` x ``max_words``, two banks; read once a
    tile."""

    max_tiles: int
    heads: int
    max_passes: int
    max_words: int

    @property
    def pass_stride(self) -> int:
        """Words from a pass to the next."""
        return self.max_words

    @property
    def head_stride(self) -> int:
        """Words from a head to the next."""
        return self.max_passes * self.max_words

    @property
    def bank_stride(self) -> int:
        """Words of a bank."""
        return self.heads * self.head_stride

    @property
    def depth(self) -> int:
        """Words of both banks."""
        return 2 * self.bank_stride

    @property
    def address(self) -> Shape:
        """An address in both banks."""
        return Shape.cast(range(self.depth))

    @property
    def order(self) -> "BankOrder":
        """The shape of its orders."""
        return BankOrder(self)

    @property
    def resources(self) -> Resources:
        """LUT and FF of the reader."""
        bits = self.depth.bit_length()
        return Resources(lut=12 * bits + 40, ff=5 * bits + 40)


class BankOrder(data.StructLayout):
    """A layer's loop bounds: ``tiles`` of the sequence, ``passes`` a head, ``words`` a pass."""

    def __init__(self, spec: BankSpec):
        bounds = {"tiles": spec.max_tiles, "passes": spec.max_passes, "words": spec.max_words}
        super().__init__({name: unsigned(bound.bit_length()) for name, bound in bounds.items()})


class BankReader(wiring.Component):
    """Read addresses of a layer, in the order tile, head, pass, word, from alternating banks.

    Members: ``order`` (stream; in force at the head, leaves with the layer's last address), ``addresses`` (stream),
    ``stored`` (strobe: the writer has completed a bank), ``full`` (banks complete and not yet read to the end; the
    writer must wait at 2). ``hold``: cycles by which the RAMs are read later than the addresses leave.
    """

    def __init__(self, spec: BankSpec, *, hold: int):
        self.spec, self.hold = spec, hold
        super().__init__(
            {
                "order": In(stream.Signature(spec.order)),
                "addresses": Out(stream.Signature(spec.address)),
                "stored": In(1),
                "full": Out(range(3)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        take = self.addresses.valid & self.addresses.ready
        # `full` frees a bank only when the last column has read it; `readable` counts for the addresses.
        readable, held = Signal(range(3)), Signal(self.hold)
        word, done = Signal(range(spec.max_words)), take
        counters = {
            "word": (word, order.words),
            "pass": (Signal(range(spec.max_passes), name="pass_index"), order.passes),
            "head": (Signal(range(spec.heads), name="head"), spec.heads),
            "tile": (Signal(range(spec.max_tiles), name="tile"), order.tiles),
        }
        ends = {}
        for name, (counter, bound) in counters.items():
            ends[name] = Signal(name=f"{name}_ends")
            m.d.comb += ends[name].eq(done & (counter == bound - 1))
            with m.If(done):
                m.d.sync += counter.eq(Mux(ends[name], 0, counter + 1))
            done = ends[name]
        finished = ends["tile"]
        self._bases(m, ends, word)
        m.d.comb += [
            self.addresses.valid.eq(self.order.valid & (readable != 0)),
            self.order.ready.eq(finished),
        ]
        m.d.sync += [
            held.eq(Cat(finished, held)),
            readable.eq(readable + self.stored - finished),
            self.full.eq(self.full + self.stored - held[-1]),
        ]
        return m

    def _bases(self, m: Module, ends: dict[str, Signal], word: Signal) -> None:
        """The address, from the running starts of bank, head and pass: additions of constants only."""
        spec = self.spec
        bank, head, start = Signal(spec.address), Signal(spec.address), Signal(spec.address)
        other = Mux(bank == 0, spec.bank_stride, 0)
        next_head, next_pass = head + spec.head_stride, start + spec.pass_stride
        with m.If(ends["tile"]):
            m.d.sync += [bank.eq(other), head.eq(other), start.eq(other)]
        with m.Elif(ends["head"]):
            m.d.sync += [head.eq(bank), start.eq(bank)]
        with m.Elif(ends["pass"]):
            m.d.sync += [head.eq(next_head), start.eq(next_head)]
        with m.Elif(ends["word"]):
            m.d.sync += start.eq(next_pass)
        m.d.comb += self.addresses.payload.eq(start + word)


class Repeat(wiring.Component):
    """Every beat of a stream so many times over: ``tiles`` of the beat's own times a constant ``each``."""

    def __init__(self, shape: data.StructLayout, each: int):
        self.each = each
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        part, tile = Signal(range(self.each)), Signal.like(self.input.payload.tiles)
        last_part, last_tile = part == self.each - 1, tile == self.input.payload.tiles - 1
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
            with m.If(last_part):
                m.d.sync += tile.eq(Mux(last_tile, 0, tile + 1))
        m.d.comb += [
            self.output.valid.eq(self.input.valid),
            self.output.payload.eq(self.input.payload),
            self.input.ready.eq(self.output.ready & last_part & last_tile),
        ]
        return m


class Placement(wiring.Component):
    """Where the features of arriving tiles go: counts head, pass or word, and tile, as a layer's keys or values
    stream in.

    Members: ``order`` (stream of `BankOrder`), ``step`` (strobe: a beat was stored), ``base`` (address of the head
    and step), ``unit`` (steps within the head), ``tile`` (in the layer), ``stored`` (strobe: the layer is complete).
    ``steps`` beats a head; every ``steps_a_unit`` beats the address moves on by ``unit_stride``.
    """

    def __init__(self, spec: BankSpec, *, steps: int, steps_a_unit: int, unit_stride: int):
        self.spec, self.steps, self.steps_a_unit, self.unit_stride = spec, steps, steps_a_unit, unit_stride
        super().__init__(
            {
                "order": In(stream.Signature(spec.order)),
                "step": In(1),
                "base": Out(spec.address),
                "within": Out(range(steps_a_unit)),
                "tile": Out(1),
                "stored": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        beat, head = Signal(range(self.steps)), Signal(range(spec.heads))
        tile, bank = Signal(range(spec.max_tiles)), Signal()
        head_base = Signal(spec.address)
        unit_ends = self.within == self.steps_a_unit - 1
        head_ends, tile_ends = beat == self.steps - 1, head == spec.heads - 1
        layer_ends = tile == self.order.payload.tiles - 1
        bank_base = Mux(bank, spec.bank_stride, 0)
        other_base = Mux(bank, 0, spec.bank_stride)
        with m.If(self.step):
            m.d.sync += [self.within.eq(Mux(unit_ends, 0, self.within + 1)), beat.eq(Mux(head_ends, 0, beat + 1))]
            with m.If(unit_ends):
                m.d.sync += self.base.eq(self.base + self.unit_stride)
            with m.If(head_ends):
                following = Mux(tile_ends, Mux(layer_ends, other_base, bank_base), head_base + spec.head_stride)
                m.d.sync += [
                    head.eq(Mux(tile_ends, 0, head + 1)),
                    head_base.eq(following),
                    self.base.eq(following),
                ]
        m.d.comb += [
            self.tile.eq(self.step & head_ends & tile_ends),
            self.stored.eq(self.tile & layer_ends),
            self.order.ready.eq(self.stored),
        ]
        with m.If(self.tile):
            m.d.sync += [tile.eq(Mux(layer_ends, 0, tile + 1)), bank.eq(bank ^ layer_ends)]
        return m
