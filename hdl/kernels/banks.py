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

__all__ = ["BankOrder", "BankPlacement", "BankReader", "BankSpec", "Placement", "Repeat", "nested", "running_start"]


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """Where a layer's words lie in each RAM: ``heads`` x ``max_passes`` x ``max_words``, two banks; read once a
    tile."""

    max_tiles: int
    heads: int
    max_passes: int
    max_words: int

    ahead = 2
    """Layers that may be stored and not yet read to the end: one in each bank."""

    orders_ahead = 2
    """Orders that wait for each of their readers."""

    @property
    def banks(self) -> int:
        """Layers that lie in a RAM."""
        return 2

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
        """Words of all banks."""
        return self.banks * self.bank_stride

    @property
    def address(self) -> Shape:
        """An address in all banks."""
        return Shape.cast(range(self.depth))

    @property
    def order(self) -> data.StructLayout:
        """The shape of its orders."""
        return BankOrder(self)

    @property
    def located(self) -> data.StructLayout:
        """The shape of an order as reader and placement take it."""
        return self.order

    def reader(self, *, hold: int) -> "BankReader":
        """What reads the words."""
        return BankReader(self, hold=hold)

    def placement(self, *, steps: int, steps_a_unit: int, unit_stride: int) -> "Placement":
        """What says where the words go."""
        return BankPlacement(self, steps=steps, steps_a_unit=steps_a_unit, unit_stride=unit_stride)

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
        bank, done = Signal(spec.address), Signal(range(spec.max_words))  # words done of the pass
        counters = {
            "word": (done, order.words),
            "pass": (Signal(range(spec.max_passes), name="pass_index"), order.passes),
            "head": (Signal(range(spec.heads), name="head"), spec.heads),
            "tile": (Signal(range(spec.max_tiles), name="tile"), order.tiles),
        }
        ends = nested(m, counters, take)
        finished = ends["tile"]
        other = Mux(bank == 0, spec.bank_stride, 0)
        start = running_start(m, spec, ends, [(finished, other, [bank]), (ends["head"], bank, [])])
        m.d.comb += [
            self.addresses.payload.eq(start + done),
            self.addresses.valid.eq(self.order.valid & (readable != 0)),
            self.order.ready.eq(finished),
        ]
        m.d.sync += [
            held.eq(Cat(finished, held)),
            readable.eq(readable + self.stored - finished),
            self.full.eq(self.full + self.stored - held[-1]),
        ]
        return m


def nested(m: Module, loops: dict[str, tuple[Signal, Any]], step: Any) -> dict[str, Signal]:
    """Counts nested loops, (counter, bound) by name with the innermost first, on at every ``step``; says by name
    whether this step is the loop's last."""
    ends = {}
    for name, (counter, bound) in loops.items():
        ends[name] = Signal(name=f"{name}_ends")
        m.d.comb += ends[name].eq(step & (counter == bound - 1))
        with m.If(step):
            m.d.sync += counter.eq(Mux(ends[name], 0, counter + 1))
        step = ends[name]
    return ends


def running_start(
    m: Module, spec: BankSpec, ends: dict[str, Signal], restarts: list[tuple[Signal, Any, list[Signal]]]
) -> Signal:
    """The address at which the present head's pass starts: additions of constants only.

    ``ends``: of the loops word, pass and head; ``restarts``: where the next head is a tile's or a layer's first, (when,
    its start, registers that take this start too), outermost first.
    """
    head, start = Signal(spec.address), Signal(spec.address)
    next_head, next_pass = head + spec.head_stride, start + spec.pass_stride
    for i, (condition, base, bases) in enumerate(restarts):
        with m.Elif(condition) if i else m.If(condition):
            m.d.sync += [register.eq(base) for register in (*bases, head, start)]
    with m.Elif(ends["pass"]):
        m.d.sync += [head.eq(next_head), start.eq(next_head)]
    with m.Elif(ends["word"]):
        m.d.sync += start.eq(next_pass)
    return start


class Repeat(wiring.Component):
    """Every beat of a stream so many times over: a constant ``each``, times ``tiles`` where the beat says that."""

    def __init__(self, shape: data.StructLayout, each: int):
        self.each = each
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        part, last_tile = Signal(range(self.each)), 1
        last_part = part == self.each - 1
        tiled = "tiles" in self.input.payload.shape().members
        if tiled:
            tile = Signal.like(self.input.payload.tiles)
            last_tile = tile == self.input.payload.tiles - 1
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
            if tiled:
                with m.If(last_part):
                    m.d.sync += tile.eq(Mux(last_tile, 0, tile + 1))
        m.d.comb += [
            self.output.valid.eq(self.input.valid),
            self.output.payload.eq(self.input.payload),
            self.input.ready.eq(self.output.ready & last_part & last_tile),
        ]
        return m


class Placement(wiring.Component):
    """Where the features of arriving tiles go: counts head, and pass or word, as keys or values stream in.

    Members: ``order`` (stream of `BankSpec.located`), ``step`` (strobe: a beat was stored), ``base`` (address of the
    head and step), ``within`` (steps within the unit), ``tile`` (strobe: a tile is complete), ``stored`` (strobe: what
    the order tells of is complete). ``steps`` beats a head; every ``steps_a_unit`` beats the address moves on by
    ``unit_stride``.
    """

    def __init__(self, spec: BankSpec, *, steps: int, steps_a_unit: int, unit_stride: int):
        self.spec, self.steps, self.steps_a_unit, self.unit_stride = spec, steps, steps_a_unit, unit_stride
        super().__init__(
            {
                "order": In(stream.Signature(spec.located)),
                "step": In(1),
                "base": Out(spec.address),
                "within": Out(range(steps_a_unit)),
                "tile": Out(1),
                "stored": Out(1),
            }
        )

    def count(self, m: Module, next_tile: Any) -> None:
        """Counts the beats of a tile, the next of which begins at ``next_tile``; drives ``tile``."""
        spec = self.spec
        beat, head = Signal(range(self.steps)), Signal(range(spec.heads))
        head_base = Signal(spec.address)
        unit_ends = self.within == self.steps_a_unit - 1
        head_ends, tile_ends = beat == self.steps - 1, head == spec.heads - 1
        with m.If(self.step):
            m.d.sync += [self.within.eq(Mux(unit_ends, 0, self.within + 1)), beat.eq(Mux(head_ends, 0, beat + 1))]
            with m.If(unit_ends):
                m.d.sync += self.base.eq(self.base + self.unit_stride)
            with m.If(head_ends):
                following = Mux(tile_ends, next_tile, head_base + spec.head_stride)
                m.d.sync += [
                    head.eq(Mux(tile_ends, 0, head + 1)),
                    head_base.eq(following),
                    self.base.eq(following),
                ]
        m.d.comb += self.tile.eq(self.step & head_ends & tile_ends)

    def share(self, m: Module, name: str, shares: int, stride: int) -> tuple[Any, Any]:
        """Which of a word's (or column group's) ``shares`` the present tile fills, and how far that word lies behind
        ``base``: ``stride`` further when all shares are full. Counted in the caller's module ``m``, as ``name``."""
        raise NotImplementedError


class BankPlacement(Placement):
    """The placement of whole layers, tile after tile, in alternating banks."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        tile, bank = Signal(range(spec.max_tiles)), Signal()
        layer_ends = tile == self.order.payload.tiles - 1
        bank_base = Mux(bank, spec.bank_stride, 0)
        other_base = Mux(bank, 0, spec.bank_stride)
        self.count(m, Mux(layer_ends, other_base, bank_base))
        m.d.comb += [self.stored.eq(self.tile & layer_ends), self.order.ready.eq(self.stored)]
        with m.If(self.tile):
            m.d.sync += [tile.eq(Mux(layer_ends, 0, tile + 1)), bank.eq(bank ^ layer_ends)]
        return m

    def share(self, m: Module, name: str, shares: int, stride: int) -> tuple[Any, Any]:
        share, start = Signal(range(max(shares, 2))), Signal(self.spec.address, name=name)
        with m.If(self.stored):
            m.d.sync += [share.eq(0), start.eq(0)]
        with m.Elif(self.tile):
            m.d.sync += share.eq(Mux(share == shares - 1, 0, share + 1))
            with m.If(share == shares - 1):
                m.d.sync += start.eq(start + stride)
        return share, start
