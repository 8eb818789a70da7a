"""Causal attention with the KV cache on chip: a bank for each layer, in the RAMs of the array that reads it.

A query sees only the keys up to its own token, so a tile is read as soon as its own keys are stored, and there is no
barrier. A tile of a prompt and a single token, which is one row of a tile, are written to the same words: a token is
appended by writing only its row, even while the other bytes of the word are read. Keys after a query and old contents
are masked by the softmax. Another sequence may begin, in the same words, when all tiles of the last one have been read.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted
from ..delay_registers import delay, registered_tree, tree_levels
from ..ram import RamSpec
from ..resources import Resources
from ..stream import buffer_resources, connect
from .banks import BankSpec, Placement, nested, offer, running_start

__all__ = ["ADDRESS_FAN_IN", "CacheSpec", "KvCacheSpec", "scaled"]

ADDRESS_FAN_IN = 3
"""Terms of an address added between registers."""


@dataclass(frozen=True, kw_only=True)
class CacheSpec(BankSpec):
    """A bank for each of ``layers`` layers; an order is a tile, which reads the keys up to its own end."""

    layers: int

    @property
    def banks(self) -> int:
        return self.layers

    @property
    def ahead(self) -> int:
        """Tiles. The values of a tile come before its queries, the queries before its scores, and its numerators a
        softmax later; meanwhile those of the next two tiles can arrive."""
        return 3

    @property
    def orders_ahead(self) -> int:
        """Those of the tiles that are stored, and of the one that is being stored."""
        return self.ahead + 1

    @property
    def tiles_ahead(self) -> int:
        """A tile is read while the next arrives: its queries wait only for its own keys, which come before them."""
        return 2

    @property
    def order(self) -> data.StructLayout:
        """A tile: its ``layer``, the ``tile`` of the sequence that it is, the ``rows`` whose keys or values are written
        (a bit each), ``passes`` of a head and ``words`` of a pass up to and with its own keys."""
        return data.StructLayout({"layer": range(max(self.layers, 2))} | self.tile_order)

    @property
    def tile_order(self) -> dict[str, Any]:
        """The fields of an order that do not say where its bank is."""
        bounds = {"passes": self.max_passes, "words": self.max_words}
        tile = {"tile": range(max(self.max_tiles, 2)), "rows": unsigned(self.rows)}
        return tile | {name: unsigned(bound.bit_length()) for name, bound in bounds.items()}

    @property
    def kept(self) -> tuple[str, ...]:
        """The fields of an order that `located` has too."""
        return ("rows", "passes", "words")

    @property
    def located(self) -> data.StructLayout:
        """An order with its addresses.

        ``base``: the address of the tile's bank. ``start``: that of the tile's own pass (keys) or word (values) of head
        0. ``share``: the share of it that the tile fills. The fields `kept` are those of the order.
        """
        kept = {name: self.order[name].shape for name in self.kept}
        return data.StructLayout({"base": self.address, "start": self.address, "share": self.share} | kept)

    @property
    def share(self) -> Any:
        """The shape of a share's number."""
        return unsigned((max(self.shares, 2) - 1).bit_length())

    @property
    def scaled_fields(self) -> tuple[str, ...]:
        """The fields of an order that `Locate` multiplies by constants."""
        return ("layer", self.along)

    @property
    def order_cycles(self) -> int:
        """Cycles from an order's arrival to its acceptance, and so the least from order to order."""
        return tree_levels(max(self.order[name].width for name in self.scaled_fields), ADDRESS_FAN_IN)

    def base(self, m: Module, order: Any) -> Value:
        """The address of the bank of an order (a stream's interface), `order_cycles` after it came."""
        return scaled(m, "base", order.payload.layer, self.bank_stride, self.address.width)

    def locate(self, m: Module, order: Any) -> Any:
        m.submodules.locate = locate = Locate(self)
        connect(m, order, locate.order)
        return locate.located

    def reader(self, *, hold: int) -> "CacheReader":
        """It needs no ``hold``: no word is overwritten before it is read."""
        return CacheReader(self)

    def placement(self, *, beats: int, unit_beats: int, unit_stride: int) -> "CachePlacement":
        return CachePlacement(self, beats=beats, unit_beats=unit_beats, unit_stride=unit_stride)

    @property
    def resources(self) -> Resources:
        """LUT and FF of reader, `Locate` and the queues of orders."""
        bits = self.depth.bit_length()
        return Resources(lut=7 * bits, ff=5 * bits) + buffer_resources(self.located.size, self.orders_ahead) * 3


def scaled(m: Module, name: str, value: Value, factor: int, width: int) -> Value:
    """The low ``width`` bits of ``value * factor``, by a tree of additions.

    There is a term for each bit of ``value``, and `ADDRESS_FAN_IN` terms are added per cycle (`tree_levels`).
    """
    multiples = [(factor << i) % (1 << width) for i in range(len(value))]
    terms = [Mux(bit, Const(multiple, width), 0) for bit, multiple in zip(value, multiples, strict=True) if multiple]
    return (
        registered_tree(m, name, terms, lambda a, b: (a + b)[:width], fan_in=ADDRESS_FAN_IN) if terms else Const(0, 1)
    )


class Locate(wiring.Component):
    """The addresses of an order, `CacheSpec.order_cycles` after it came.

    An order's bounds end with the tile's own keys, so the tile's pass (keys) or word (values) is the last, with the
    number ``order[along]`` - 1. For keys with 3 tiles in each pass, tile 7 has 3 passes, and its own is number 2. So
    ``start`` is ``base`` + 3 * ``share_stride`` - ``share_stride``, and ``share`` is 7 - 3 * 3 + 3 = 1.

    Members: ``order`` (stream of `CacheSpec.order`), ``located`` (stream of `CacheSpec.located`).
    """

    def __init__(self, spec: CacheSpec):
        self.spec = spec
        super().__init__({"order": In(stream.Signature(spec.order)), "located": Out(stream.Signature(spec.located))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order, located = self.spec, self.order.payload, self.located.payload
        bits, count = spec.address.width, order[spec.along]
        base = spec.base(m, self.order)
        offset = scaled(m, "offset", count, spec.share_stride, bits)
        tiles_before = scaled(m, "tiles_before", count, -spec.shares, spec.share.width)
        # The order waits at the input until its products are there.
        waited = Signal(range(spec.order_cycles + 1))
        settled = waited == spec.order_cycles
        with m.If(self.order.valid):
            m.d.sync += waited.eq(Mux(settled, Mux(self.located.ready, 0, waited), waited + 1))
        m.d.comb += [
            self.located.valid.eq(self.order.valid & settled),
            self.order.ready.eq(self.located.ready & settled),
            located.base.eq(base),
            located.start.eq(base + offset - spec.share_stride),
            located.share.eq(order.tile + tiles_before + spec.shares),
        ]
        m.d.comb += [located[name].eq(order[name]) for name in spec.kept]
        return m


class CacheReader(wiring.Component):
    """The read addresses of tiles, each from the bank of its layer; the loops are head, pass, word.

    Members:
        order: stream of `CacheSpec.located`; it leaves with the tile's last address.
        addresses: stream.
        stored: strobe; the last beat of a tile is accepted, which is written in time for the first address.
        full: tiles that are stored and not yet read to the end; with `CacheSpec.ahead` of them no more may be stored.
        read: strobe; the last address of an order with ``last`` has left, where orders have this field.
    """

    def __init__(self, spec: CacheSpec):
        self.spec = spec
        super().__init__(
            {
                "order": In(stream.Signature(spec.located)),
                "addresses": Out(stream.Signature(spec.address)),
                "stored": In(1),
                "full": Out(range(spec.ahead + 1)),
                "read": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        readable = Counted("readable", spec.ahead, init=0)  # tiles whose last address is not yet on offer
        word = Signal(range(spec.max_words))
        step = Signal()
        finished = Signal()
        layer_ends = Signal()
        ends = nested(m, {"word": order.words, "pass": order.passes, "head": spec.heads}, step)
        start = running_start(m, spec, ends, [(ends["head"], 0, [])])
        with m.If(step):
            m.d.sync += word.eq(Mux(ends["word"], 0, word + 1))
        address = order.base + start + word
        valid = self.order.valid & readable.some
        offered, leaves = offer(m, self.addresses, valid, address, ends=finished, last=layer_ends)
        m.d.comb += [
            step.eq(offered),
            finished.eq(ends["head"]),
            layer_ends.eq(finished & (order.last if "last" in spec.kept else 0)),
            self.order.ready.eq(finished),
            self.read.eq(leaves["last"]),
        ]
        readable.step(m, up=self.stored, down=finished)
        m.d.sync += self.full.eq(self.full + self.stored - leaves["ends"])
        return m


class CachePlacement(Placement):
    """The placement of tiles: each order says where; ``base`` counts from there."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self.count(m, 0)
        m.d.comb += [self.stored.eq(self.tile), self.order.ready.eq(self.stored)]
        return m

    def share(self, m: Module, name: str) -> tuple[Any, Any]:
        return self.order.payload.share, self.order.payload.start

    @property
    def rows(self) -> Value:
        return self.order.payload.rows

    def enables(self, m: Module, shares: Signal) -> list[Any]:
        rows = delay(m, "rows", self.rows, 1)
        return [share & row for share in shares for row in rows]


WORD_BYTES = 8
"""Keys or values in a RAM's word: those that one cascade takes per cycle."""

PREFETCH_WORDS = 512
"""Words of each RAM that buffers off-chip memory: two bursts of 256 beats."""


@dataclass(frozen=True, kw_only=True)
class KvCacheSpec:
    """The cost of a cache of int8 keys and values, for estimates.

    Attributes:
        features: features of keys and values together, per token and layer.
        layers: layers of the network.
        max_length: tokens of the longest sequence.
        banks: RAMs of 64 bits that are read at once.
        on_chip: whether it lies in URAM; if not, it lies in off-chip memory and is buffered.

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
    def shape(self) -> str:
        """The size of the cache in a few words."""
        return f"{self.size / 1e6:,.1f} MB"

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
        """Bytes from off-chip memory, in all layers, for one token after ``context`` tokens."""
        return 0 if self.on_chip else context * self.features * self.layers
