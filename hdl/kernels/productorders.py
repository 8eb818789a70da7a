"""The orders of a linear unit that computes several products: which product, and how often its words are read."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory import ReplayOrder, ReplaySpec
from ..resources import Resources
from ..stream import Fork, buffer_resources, connect
from .activationbuffer import ActivationBufferSpec
from .banks import Repeat
from .packedweights import LoadOrder, PackedWeightsSpec

__all__ = ["ProductBounds", "ProductOrdersSpec", "ReplayOrders"]


class ProductBounds(NamedTuple):
    """The loop bounds of a product: ``words`` of activations in a pass, ``passes`` for a tile, ``ram_words`` of its
    weights in each RAM, and whether the weights are ``packed`` in memory."""

    words: int
    passes: int
    ram_words: int
    packed: bool


@dataclass(frozen=True, kw_only=True)
class ProductOrdersSpec:
    """The orders of a unit of several products.

    Attributes:
        products: the bounds of each product by its number; 0 is the unit's own, the rest are shared with other units.
        max_tiles: tiles of the longest order.
        buffer: the buffer of the activations.
        ring: the ring of the weights.
        packing: how packed weights lie in memory, if some are packed.
        channels: memory channels of the weights.
    """

    products: tuple[ProductBounds, ...]
    max_tiles: int
    buffer: ActivationBufferSpec
    ring: ReplaySpec
    packing: PackedWeightsSpec | None
    channels: int

    @property
    def order(self) -> data.StructLayout:
        """An order: ``tiles`` of the product of this number; of a shared product it is 1 tile."""
        last = max(len(self.products) - 1, 1)
        return data.StructLayout(
            {"product": unsigned(last.bit_length()), "tiles": unsigned(self.max_tiles.bit_length())}
        )

    @property
    def bounds(self) -> data.StructLayout:
        """An order's ``tiles`` and the bounds of its product."""
        bounds = {
            "tiles": self.max_tiles,
            "words": self.buffer.words,
            "passes": self.buffer.max_repeat,
            "ram_words": self.ring.max_length,
        }
        return data.StructLayout({name: unsigned(most.bit_length()) for name, most in bounds.items()} | {"packed": 1})

    @property
    def readers(self) -> int:
        """Readers of an order: the activations, the weights, and each channel whose weights may be packed."""
        return 2 + (self.channels if self.packing else 0)

    @property
    def depth(self) -> int:
        """Orders that wait for each reader.

        A channel of packed weights loads ahead, so it must know the orders to come: as many as a layer has products.
        """
        return 4 if self.packing else 2

    @property
    def resources(self) -> Resources:
        """LUT and FF of `ReplayOrders`, estimated."""
        return buffer_resources(self.bounds.size, self.depth) * self.readers


class ReplayOrders(wiring.Component):
    """Makes of each order one for the weights, one for each tile's activations, and one for each packed channel.

    With 3 passes of 4 words for a tile, an order of 2 tiles becomes: weights, 12 words read twice; activations, two
    orders of 4 words read 3 times each.

    Members:
        order: stream of `ProductOrdersSpec.order`.
        activations: stream of `ReplayOrder`, one for each tile.
        weights: stream of `ReplayOrder`, one for each order.
        loads[c]: streams of `LoadOrder`, one for each order, which may be taken orders ahead; with packed weights only.
    """

    def __init__(self, spec: ProductOrdersSpec):
        self.spec = spec
        buffer, ring = spec.buffer, spec.ring
        members = {
            "order": In(stream.Signature(spec.order)),
            "activations": Out(stream.Signature(ReplayOrder(buffer.words, buffer.max_repeat))),
            "weights": Out(stream.Signature(ReplayOrder(ring.max_length, ring.max_repeat))),
        }
        if spec.packing:
            members["loads"] = Out(stream.Signature(LoadOrder(spec.packing))).array(spec.channels)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.fork = fork = Fork(spec.bounds, spec.readers, spec.depth)
        m.submodules.tiles = tiles = Repeat(spec.bounds, 1)
        self._look_up(m, fork.input)
        connect(m, fork.outputs[0], tiles.input)
        self._rename(m, tiles.output, self.activations, length="words", repeat="passes")
        self._rename(m, fork.outputs[1], self.weights, length="ram_words", repeat="tiles")
        if spec.packing:
            for source, load in zip(fork.outputs[2:], self.loads, strict=True):
                self._rename(m, source, load, packed="packed", words="words", passes="passes")
        return m

    def _look_up(self, m: Module, found: Any) -> None:
        """Drives the stream ``found``: each order's tiles and the bounds of its product."""
        order, bounds = self.order.payload, found.payload
        m.d.comb += [found.valid.eq(self.order.valid), self.order.ready.eq(found.ready)]
        m.d.comb += bounds.tiles.eq(order.tiles)
        with m.Switch(order.product):
            for number, product in enumerate(self.spec.products):
                with m.Case(number):
                    m.d.comb += [bounds[name].eq(bound) for name, bound in product._asdict().items()]

    @staticmethod
    def _rename(m: Module, source: Any, sink: Any, **fields: str) -> None:
        """Connects streams of different structs; ``fields`` has the source's field for each of the sink's."""
        m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        m.d.comb += [sink.payload[name].eq(source.payload[given]) for name, given in fields.items()]
