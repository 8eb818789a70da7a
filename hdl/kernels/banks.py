"""Where keys or values lie in the RAMs of the array that reads them as weights: what all ways of attending share.

Each RAM holds some *banks*, one for each layer. A bank has the words of one head after the other, a head the words of
one pass after the other. With 2 heads of 3 passes of 4 words, word 1 of pass 2 of head 1 of bank 1 is at the address
1 * 24 + 1 * 12 + 2 * 4 + 1 = 45.

Three kinds of banks derive from `BankSpec`, one for each way of attending: `BarrierSpec` (barrier), `CacheSpec`
(kvcache) and `LoadedCacheSpec` (loadedcache).
"""

from dataclasses import dataclass
from typing import Any, Literal

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Turns
from ..resources import Resources
from ..stream import StreamBuffer, connect

__all__ = ["BankSpec", "Placement", "Repeat", "nested", "offer", "running_start"]


@dataclass(frozen=True, kw_only=True)
class BankSpec:
    """The layout of the banks in each RAM, and the parts of an attention unit that know it.

    A tile fills a *share*. The keys of ``rows`` tokens are ``rows`` of the columns of a pass. The values of ``rows``
    tokens are ``rows`` of the bytes of a word. With 4 rows and 12 columns, the keys of tile 7 fill share 1 (columns 4
    to 7) of pass 2, since 7 = 2 * 3 + 1.

    Attributes:
        rows: tokens of a tile.
        max_tiles: tiles of the longest sequence.
        heads: heads of a bank.
        max_passes: passes of a head.
        max_words: words of a pass.
        along: the loop that grows with the tokens: "passes" for keys, "words" for values.
        shares: tiles that fill a pass (keys) or a word (values).
    """

    rows: int
    max_tiles: int
    heads: int
    max_passes: int
    max_words: int
    along: Literal["passes", "words"]
    shares: int

    @property
    def banks(self) -> int:
        """Banks in each RAM."""
        raise NotImplementedError

    @property
    def ahead(self) -> int:
        """How many orders' keys or values may be stored and not yet read to the end."""
        raise NotImplementedError

    @property
    def orders_ahead(self) -> int:
        """Orders that wait for each of their three readers."""
        raise NotImplementedError

    @property
    def tiles_ahead(self) -> int:
        """Tiles whose queries may wait in the unit."""
        raise NotImplementedError

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
    def share_stride(self) -> int:
        """Words from a tile's share to the same share of the next pass (keys) or word (values)."""
        return self.pass_stride if self.along == "passes" else 1

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
        """An order of the unit."""
        raise NotImplementedError

    @property
    def located(self) -> data.StructLayout:
        """An order as reader, placement and activations get it from `locate`."""
        raise NotImplementedError

    def locate(self, m: Module, order: Any) -> Any:
        """The stream of `located` orders of a stream of orders; adds what computes their addresses."""
        raise NotImplementedError

    def reader(self, *, hold: int) -> Any:
        """The component that gives the addresses to read; ``hold``: cycles until the last RAM has read one."""
        raise NotImplementedError

    def placement(self, *, beats: int, unit_beats: int, unit_stride: int) -> "Placement":
        """The component that gives the addresses to write; for the arguments see `Placement`."""
        raise NotImplementedError

    @property
    def resources(self) -> Resources:
        """LUT and FF of the reader, and of what `locate` adds."""
        raise NotImplementedError


def nested(m: Module, loops: dict[str, Any], step: Any) -> dict[str, Signal]:
    """Counts nested loops. ``loops``: the bound of each, a number or a signal, by its name, the innermost first.

    The innermost loop moves with ``step``, each of the rest when the one inside it ends. Returns for each loop the
    strobe ``NAME_ends``: this step is the last of the loop's round.
    """
    ends = {}
    for name, bound in loops.items():
        ends[name] = Signal(name=f"{name}_ends")
        if isinstance(bound, int):
            turns = Turns(f"{name}_index", bound)
            m.d.comb += ends[name].eq(step & turns.last)
            turns.step(m, step)
        else:
            turn = Signal.like(bound, init=1, name=f"{name}_turn")
            m.d.comb += ends[name].eq(step & (turn == bound))
            with m.If(step):
                m.d.sync += turn.eq(Mux(ends[name], 1, turn + 1))
        step = ends[name]
    return ends


def offer(m: Module, addresses: Any, valid: Value, address: Value, **flags: Signal) -> tuple[Value, dict[str, Value]]:
    """Offers ``address`` on the stream ``addresses`` through a buffer, while ``valid`` is high.

    Returns whether the buffer takes the address, and strobes: an address leaves whose flag of this name was high.
    """
    layout = data.StructLayout({"address": addresses.payload.shape()} | dict.fromkeys(flags, 1))
    m.submodules.reads = reads = StreamBuffer(layout)
    m.d.comb += [
        reads.input.valid.eq(valid),
        reads.input.payload.address.eq(address),
        addresses.valid.eq(reads.output.valid),
        addresses.payload.eq(reads.output.payload.address),
        reads.output.ready.eq(addresses.ready),
    ]
    m.d.comb += [reads.input.payload[name].eq(flag) for name, flag in flags.items()]
    leaves = addresses.valid & addresses.ready
    return valid & reads.input.ready, {name: leaves & reads.output.payload[name] for name in flags}


def running_start(
    m: Module, spec: BankSpec, ends: dict[str, Signal], restarts: list[tuple[Signal, Any, list[Signal]]]
) -> Signal:
    """The address at which the present head's present pass starts, found by adding constants only.

    ``ends`` has the strobes (`nested`) of the loops "word", "pass" and "head". ``restarts`` says where the next head
    starts if it is the first of a tile or a layer, outermost first: a strobe, the start, and registers that get this
    start too.
    """
    head = Signal(spec.address)
    start = Signal(spec.address)
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
    """Repeats each beat of a stream ``each`` times, times the beat's own field ``tiles`` if its shape has one.

    The beats leave through a buffer.
    """

    def __init__(self, shape: data.StructLayout, each: int):
        self.each = each
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = StreamBuffer(self.input.payload.shape())
        tiled = "tiles" in self.input.payload.shape().members
        loops = {"part": self.each} | ({"tile": self.input.payload.tiles} if tiled else {})
        *_, ends = nested(m, loops, self.input.valid & buffer.input.ready).values()
        m.d.comb += [
            buffer.input.valid.eq(self.input.valid),
            buffer.input.payload.eq(self.input.payload),
            self.input.ready.eq(ends),
        ]
        connect(m, buffer.output, self.output)
        return m


class Placement(wiring.Component):
    """The addresses at which the features of arriving tiles are written.

    A tile arrives head after head, each head in ``beats`` beats. The address moves on by ``unit_stride`` every
    ``unit_beats`` beats. For keys of 16 features in beats of 2, and words of 8, a head has 8 beats: beats 0 to 3 fill
    word 0, beats 4 to 7 fill word 1 (``unit_beats`` 4, ``unit_stride`` 1).

    Members:
        order: stream of `BankSpec.located`.
        step: strobe; a beat is stored.
        base: the address of the beat, without the distance that `share` adds.
        within: the beat's number within its ``unit_beats``.
        tile: strobe; a tile is complete.
        stored: strobe; all that the order names is complete.
    """

    def __init__(self, spec: BankSpec, *, beats: int, unit_beats: int, unit_stride: int):
        self.spec, self.beats, self.unit_beats, self.unit_stride = spec, beats, unit_beats, unit_stride
        super().__init__(
            {
                "order": In(stream.Signature(spec.located)),
                "step": In(1),
                "base": Out(spec.address),
                "within": Out(range(unit_beats)),
                "tile": Out(1),
                "stored": Out(1),
            }
        )

    def count(self, m: Module, next_tile: Any) -> None:
        """Counts the beats of a tile and drives ``base``, ``within`` and ``tile``; the next tile's base is
        ``next_tile``."""
        spec = self.spec
        unit, beat, head = Turns("unit", self.unit_beats), Turns("beat", self.beats), Turns("head", spec.heads)
        head_base = Signal(spec.address)
        unit.step(m, self.step)
        beat.step(m, self.step)
        head.step(m, self.step & beat.last)
        with m.If(self.step):
            with m.If(unit.last):
                m.d.sync += self.base.eq(self.base + self.unit_stride)
            with m.If(beat.last):
                following = Mux(head.last, next_tile, head_base + spec.head_stride)
                m.d.sync += [head_base.eq(following), self.base.eq(following)]
        m.d.comb += [self.within.eq(unit.count), self.tile.eq(self.step & beat.last & head.last)]

    def share(self, m: Module, name: str) -> tuple[Any, Any]:
        """The share that the present tile fills, and the distance of its pass or word from ``base``.

        Counted, if it must be, in the caller's module ``m``; the distance is then the signal ``name``.
        """
        raise NotImplementedError

    @property
    def rows(self) -> Any:
        """The rows of the present tile that are written, one bit each."""
        raise NotImplementedError

    def enables(self, m: Module, shares: Signal) -> list[Any]:
        """An enable for each row of each share, one cycle after the beat; ``shares``: the enable of each share."""
        raise NotImplementedError
