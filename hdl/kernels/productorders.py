"""The orders of a linear unit that computes several products: which one, and how often what is read for it."""

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memory import ReplayOrder
from ..resources import Resources
from ..stream import Fork, buffer_resources, connect
from .banks import Repeat

if TYPE_CHECKING:
    from .linear import LinearSpec

__all__ = ["ProductOrder", "ReplayOrders", "replay_orders_resources"]


class ProductOrder(data.StructLayout):
    """What a linear unit with shared products does next: ``tiles`` of a ``product``, 0 its own; of a shared one, 1."""

    def __init__(self, spec: "LinearSpec"):
        tiles = unsigned(spec.max_tiles.bit_length())
        super().__init__({"product": unsigned(len(spec.products).bit_length()), "tiles": tiles})


class ReplayBounds(data.StructLayout):
    """A product's loop bounds: ``tiles``, words and passes of a tile, words of weights in each RAM."""

    def __init__(self, spec: "LinearSpec"):
        bounds = {
            "tiles": spec.max_tiles,
            "words": spec.replay.depth,
            "passes": spec.replay.max_repeat,
            "ram_words": spec.ring.max_length,
        }
        super().__init__({name: unsigned(bound.bit_length()) for name, bound in bounds.items()})


class ReplayOrders(wiring.Component):
    """A product's order as those of the two replay buffers: one for the weights, and one a tile for its activations.

    Members: ``order`` (stream of `ProductOrder`), ``activations``, ``weights`` (streams of `ReplayOrder`).
    """

    def __init__(self, spec: "LinearSpec"):
        self.spec = spec
        replay, ring = spec.replay, spec.ring
        super().__init__(
            {
                "order": In(stream.Signature(ProductOrder(spec))),
                "activations": Out(stream.Signature(ReplayOrder(replay.depth, replay.max_repeat))),
                "weights": Out(stream.Signature(ReplayOrder(ring.max_length, ring.max_repeat))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, order = self.spec, self.order.payload
        m.submodules.fork = fork = Fork(ReplayBounds(spec), 2)
        m.submodules.tiles = tiles = Repeat(ReplayBounds(spec), 1)
        bounds = fork.input.payload
        m.d.comb += [fork.input.valid.eq(self.order.valid), self.order.ready.eq(fork.input.ready)]
        m.d.comb += bounds.tiles.eq(order.tiles)
        with m.Switch(order.product):
            for i, (words, share) in enumerate(zip(spec.product_words, spec.shares, strict=True)):
                with m.Case(i):
                    m.d.comb += [bounds.words.eq(words), bounds.passes.eq(share.rounds)]
                    m.d.comb += bounds.ram_words.eq(spec.ram_words[i])
        connect(m, fork.outputs[0], tiles.input)
        for source, sink, length, repeat in (
            (tiles.output, self.activations, "words", "passes"),
            (fork.outputs[1], self.weights, "ram_words", "tiles"),
        ):
            m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
            m.d.comb += [sink.payload.length.eq(source.payload[length]), sink.payload.repeat.eq(source.payload[repeat])]
        return m


def replay_orders_resources(spec: "LinearSpec") -> Resources:
    """LUT and FF of `ReplayOrders`, estimated."""
    return buffer_resources(ReplayBounds(spec).size, 2) * 2
