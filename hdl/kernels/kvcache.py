"""The KV cache: keys and values of all layers, in the RAMs of the systolic array that reads them as weights.

Attention is causal, so a tile is read as soon as its own keys are stored, and there is no barrier. A prompt's tile
and a single token, which is one row of a tile, are written to the same words: tokens are appended by writing only their
rows, even while other tokens' bytes of the same word are read. What a query must not see, keys after it and old
contents, the softmax masks. Another sequence may begin, in the same words, when all tiles of the one before have been
read.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory import RamSpec
from ..pipeline import registered_tree, tree_levels
from ..resources import Resources
from ..stream import buffer_resources
from .banks import BankSpec, Placement, nested, running_start

__all__ = ["CacheOrder", "CachePlacement", "CacheReader", "CacheSpec", "KvCacheSpec", "Locate"]

SUM_FAN_IN = 3
"""Terms of an address added between registers."""


@dataclass(frozen=True, kw_only=True)
class CacheSpec(BankSpec):
    """Where the words of ``layers`` layers lie in each RAM: a bank a layer; read once for each tile.

    ``rows`` tokens a tile; ``shares`` tiles share a pass's columns (``along`` "passes": keys) or a word's bytes
    ("words": values), so that a tile's own pass or word is the last that is read for it. ``off_chip``: layers come and
    go, each in the bank behind that of the one before, and orders say which tile is a layer's ``last``.
    """

    layers: int
    rows: int
    along: Literal["passes", "words"]
    shares: int
    off_chip: bool = False

    ahead = 3
    """Tiles that may be stored and not yet read to the end. The values of a tile come before its queries, the queries
    before its scores, and its numerators a softmax later; meanwhile those of the next two tiles can arrive."""

    orders_ahead = ahead + 1
    """Orders that wait for each of their readers: those tiles', and that of the tile that is being stored."""

    @property
    def banks(self) -> int:
        """Layers that lie in a RAM."""
        return self.layers

    def next_bank(self, base: Value) -> Value:
        """The bank behind the one at ``base``."""
        return Mux(base == (self.banks - 1) * self.bank_stride, 0, base + self.bank_stride)

    @property
    def order(self) -> data.StructLayout:
        """The shape of its orders."""
        return CacheOrder(self)

    @property
    def kept(self) -> tuple[str, ...]:
        """What reader and placement take of an order as it is."""
        return ("rows", "passes", "words", "last") if self.off_chip else ("rows", "passes", "words")

    @property
    def located(self) -> data.StructLayout:
        """An order as reader and placement take it: the addresses at which the layer (``base``) and the tile's own pass
        or word (``start``) begin, the ``share`` of it that the tile fills, and the order's own loop bounds and rows."""
        kept = {name: self.order[name].shape for name in self.kept}
        return data.StructLayout({"base": self.address, "start": self.address, "share": self.share} | kept)

    @property
    def share(self) -> Any:
        """The shape of a tile's share."""
        return unsigned((max(self.shares, 2) - 1).bit_length())

    @property
    def unit_stride(self) -> int:
        """Words between what one tile fills and what a tile ``shares`` further does."""
        return self.pass_stride if self.along == "passes" else 1

    @property
    def order_cycles(self) -> int:
        """Cycles from an order's arrival to its acceptance, and so the least from order to order."""
        summed = (self.along,) if self.off_chip else ("layer", self.along)
        return tree_levels(max(self.order[name].width for name in summed), SUM_FAN_IN)

    def reader(self, *, hold: int) -> "CacheReader":
        """What reads the words; none is overwritten before it is read, so nothing needs to be held."""
        return CacheReader(self)

    def placement(self, *, steps: int, steps_a_unit: int, unit_stride: int) -> Placement:
        """What says where the words go."""
        return CachePlacement(self, steps=steps, steps_a_unit=steps_a_unit, unit_stride=unit_stride)

    @property
    def resources(self) -> Resources:
        """LUT and FF of reader, `Locate` and the queues of orders."""
        bits = self.depth.bit_length()
        return Resources(lut=7 * bits, ff=5 * bits) + buffer_resources(self.located.size, self.orders_ahead) * 3


class CacheOrder(data.StructLayout):
    """What a tile needs: its ``layer``, the ``tile`` of the sequence that it is, the ``rows`` of it whose keys or
    values are written (a bit each), ``passes`` a head and ``words`` a pass up to and with its own keys; off chip
    instead of the layer whether it is its layer's ``last``."""

    def __init__(self, spec: CacheSpec):
        bounds = {"passes": spec.max_passes, "words": spec.max_words}
        super().__init__(
            ({} if spec.off_chip else {"layer": range(max(spec.layers, 2))})
            | {"tile": range(max(spec.max_tiles, 2)), "rows": unsigned(spec.rows)}
            | {name: unsigned(bound.bit_length()) for name, bound in bounds.items()}
            | ({"last": unsigned(1)} if spec.off_chip else {})
        )


def scaled(m: Module, name: str, value: Value, factor: int, width: int) -> Value:
    """The low ``width`` bits of ``value * factor`` by additions, after at most `tree_levels` of its bits cycles."""
    multiples = [(factor << i) % (1 << width) for i in range(len(value))]
    terms = [Mux(bit, Const(multiple, width), 0) for bit, multiple in zip(value, multiples, strict=True) if multiple]
    return registered_tree(m, name, terms, lambda a, b: (a + b)[:width], fan_in=SUM_FAN_IN) if terms else Const(0, 1)


class Locate(wiring.Component):
    """The addresses of an order, `CacheSpec.order_cycles` after it came.

    Members: ``order`` (stream of `CacheOrder`), ``located`` (stream of `CacheSpec.located`).
    """

    def __init__(self, spec: CacheSpec):
        self.spec = spec
        super().__init__({"order": In(stream.Signature(spec.order)), "located": Out(stream.Signature(spec.located))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order, located = self.spec, self.order.payload, self.located.payload
        bits, unit = spec.address.width, order[spec.along]
        if spec.off_chip:
            base = Signal(spec.address)
            with m.If(self.order.valid & self.order.ready & order.last):
                m.d.sync += base.eq(spec.next_bank(base))
        else:
            base = scaled(m, "base", order.layer, spec.bank_stride, bits)
        # The tile's own pass or word is number unit - 1.
        offset = scaled(m, "offset", unit, spec.unit_stride, bits)
        tiles_before = scaled(m, "tiles_before", unit, -spec.shares, spec.share.width)
        # The order waits at the input until all sums of it are there.
        waited = Signal(range(spec.order_cycles + 1))
        settled = waited == spec.order_cycles
        with m.If(self.order.valid):
            m.d.sync += waited.eq(Mux(settled, Mux(self.located.ready, 0, waited), waited + 1))
        m.d.comb += [
            self.located.valid.eq(self.order.valid & settled),
            self.order.ready.eq(self.located.ready & settled),
            located.base.eq(base),
            located.start.eq(base + offset - spec.unit_stride),
            located.share.eq(order.tile + tiles_before + spec.shares),
        ]
        m.d.comb += [located[name].eq(order[name]) for name in spec.kept]
        return m


class CacheReader(wiring.Component):
    """Read addresses for each tile, in the order head, pass, word, from the bank of its layer.

    Members: ``order`` (stream of `CacheSpec.located`; in force at the head, leaves with the tile's last address),
    ``addresses`` (stream), ``stored`` (strobe: a tile's keys or values are written), ``full`` (tiles written and not
    yet read to the end; the writer must wait at `CacheSpec.ahead`).
    """

    def __init__(self, spec: CacheSpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.located)),
                "addresses": Out(stream.Signature(spec.address)),
                "stored": In(1),
                "full": Out(range(spec.ahead + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        word = Signal(range(spec.max_words))
        loops = {
            "word": (word, order.words),
            "pass": (Signal(range(spec.max_passes), name="pass_index"), order.passes),
            "head": (Signal(range(spec.heads), name="head"), spec.heads),
        }
        ends = nested(m, loops, self.addresses.valid & self.addresses.ready)
        start = running_start(m, spec, ends, [(ends["head"], 0, [])])
        readable = Signal.like(self.full)
        m.d.comb += [
            self.addresses.payload.eq(order.base + start + word),
            self.addresses.valid.eq(self.order.valid & (readable != 0)),
            self.order.ready.eq(ends["head"]),
            self.full.eq(readable + self.stored),
        ]
        m.d.sync += readable.eq(readable + self.stored - ends["head"])
        return m


class CachePlacement(Placement):
    """The placement of tiles, each at the place its order names; ``base`` counts from there."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self.count(m, 0)
        m.d.comb += [self.stored.eq(self.tile), self.order.ready.eq(self.stored)]
        return m

    def share(self, m: Module, name: str, shares: int, stride: int) -> tuple[Any, Any]:
        return self.order.payload.share, self.order.payload.start


WORD_BYTES = 8
"""Keys or values in a RAM word: what one cascade takes a cycle."""

PREFETCH_WORDS = 512
"""Words of each RAM in front of off-chip memory: two bursts of 256 beats."""


@dataclass(frozen=True, kw_only=True)
class KvCacheSpec:
    """A cache of int8 keys and values: ``features`` a token and layer, of ``layers`` and up to ``max_length`` tokens.

    ``banks`` RAMs of 64 bits are read at once. ``on_chip``: it lies in URAM; else in off-chip memory, behind buffers.

    Raises:
        ValueError: for sizes below 1.
    """

    features: int
    layers: int
    max_length: int
    banks: int
    on_chip: bool

    def __post_init__(self) -> None:
        for name in ("features", "layers", "max_length", "banks"):
            if getattr(self, name) < 1:
                raise ValueError(f"KV cache {name} must be at least 1, not {getattr(self, name)}")

    @property
    def size(self) -> int:
        """Bytes when full (paper, section 4.2: S_KV = 2 l_max d b_A a layer; here ``features`` is 2 d or, where heads
        share keys and values, less)."""
        return self.features * self.layers * self.max_length

    @property
    def bank(self) -> RamSpec:
        """One of the RAMs."""
        words = ceil(self.size / WORD_BYTES / self.banks)
        return RamSpec(8 * WORD_BYTES, words, "ultra") if self.on_chip else RamSpec(64, PREFETCH_WORDS, "block")

    @property
    def resources(self) -> Resources:
        """RAMs, and their pointers; LUT and FF are estimates."""
        bits = self.bank.depth.bit_length()
        return self.bank.resources * self.banks + Resources(lut=12 * bits + 60, ff=8 * bits + 60)

    def cycles(self, context: int) -> int:
        """Cycles to read a layer's keys and values of ``context`` tokens for one token."""
        return ceil(context * self.features / (WORD_BYTES * self.banks))

    def bytes_read(self, context: int) -> int:
        """Bytes from off-chip memory for one token of all layers behind ``context`` others."""
        return 0 if self.on_chip else context * self.features * self.layers
