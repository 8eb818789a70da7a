"""The orders of a linear unit that computes several products: which one, and how often what is read for it."""

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory import ReplayOrder
from ..resources import Resources
from ..stream import Fork, buffer_resources, connect
from .banks import Repeat
from .packedweights import LoadOrder

if TYPE_CHECKING:
    from .linearspec import LinearSpec

__all__ = ["ProductOrder", "ReplayOrders", "replay_orders_resources"]


class ProductOrder(data.StructLayout):
    """What a linear unit with several products does next: ``tiles`` of a ``product``, 0 its own; of a shared one, 1."""

    def __init__(self, spec: "LinearSpec"):
        product, tiles = max(len(spec.products), 1), spec.max_tiles
        super().__init__({"product": unsigned(product.bit_length()), "tiles": unsigned(tiles.bit_length())})


class ReplayBounds(data.StructLayout):
    """A product's loop bounds: ``tiles``, words and passes of a tile, words of weights in each RAM, and whether
    these are ``packed`` in memory."""

    def __init__(self, spec: "LinearSpec"):
        bounds = {
            "tiles": spec.max_tiles,
            "words": spec.replay.depth,
            "passes": spec.replay.max_repeat,
            "ram_words": spec.ring.max_length,
        }
        super().__init__({name: unsigned(bound.bit_length()) for name, bound in bounds.items()} | {"packed": 1})


class ReplayOrders(wiring.Component):
    """A product's order as those of the two replay buffers: one for the weights, and one a tile for its activations.

    Members: ``order`` (stream of `ProductOrder`), ``activations``, ``weights`` (streams of `ReplayOrder`); where
    weights are packed also ``loads[c]``, one for each channel (streams of `LoadOrder`), which may be orders ahead.
    """

    def __init__(self, spec: "LinearSpec"):
        self.spec = spec
        replay, ring = spec.replay, spec.ring
        members = {
            "order": In(stream.Signature(ProductOrder(spec))),
            "activations": Out(stream.Signature(ReplayOrder(replay.depth, replay.max_repeat))),
            "weights": Out(stream.Signature(ReplayOrder(ring.max_length, ring.max_repeat))),
        }
        if spec.packing:
            members["loads"] = Out(stream.Signature(LoadOrder(spec.packing))).array(spec.channels)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        m.submodules.fork = fork = Fork(ReplayBounds(spec), order_readers(spec), order_depth(spec))
        m.submodules.tiles = tiles = Repeat(ReplayBounds(spec), 1)
        bounds = fork.input.payload
        m.d.comb += [fork.input.valid.eq(self.order.valid), self.order.ready.eq(fork.input.ready)]
        m.d.comb += bounds.tiles.eq(order.tiles)
        with m.Switch(order.product):
            for i, (words, share) in enumerate(zip(spec.product_words, spec.shares, strict=True)):
                with m.Case(i):
                    m.d.comb += [bounds.words.eq(words), bounds.passes.eq(share.rounds)]
                    m.d.comb += [bounds.ram_words.eq(spec.ram_words[i]), bounds.packed.eq(share.bits == 4)]
        connect(m, fork.outputs[0], tiles.input)
        for source, sink, fields in (
            (tiles.output, self.activations, {"length": "words", "repeat": "passes"}),
            (fork.outputs[1], self.weights, {"length": "ram_words", "repeat": "tiles"}),
            *(
                (source, sink, {})
                for source, sink in zip(fork.outputs[2:], self.loads if spec.packing else (), strict=True)
            ),
        ):
            m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
            m.d.comb += [
                sink.payload[name].eq(source.payload[fields.get(name, name)]) for name in sink.payload.shape().members
            ]
        return m


def order_readers(spec: "LinearSpec") -> int:
    """Weights, activations, and the channels whose weights may be packed."""
    return 2 + (spec.channels if spec.packing else 0)


def order_depth(spec: "LinearSpec") -> int:
    """Orders that wait for each reader: as many as a layer has products where a channel must know what comes to it."""
    return 4 if spec.packing else 2


def replay_orders_resources(spec: "LinearSpec") -> Resources:
    """LUT and FF of `ReplayOrders`, estimated."""
    return buffer_resources(ReplayBounds(spec).size, order_depth(spec)) * order_readers(spec)
