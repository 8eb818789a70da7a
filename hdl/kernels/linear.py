"""The systolic linear unit: a matrix of weights times tiles of tokens; the weights of layer after layer stream in.

The activations of a tile are packed into words of T x D and replayed for each pass of C output features. The weights of
a layer lie in the RAMs of the columns and are replayed for each tile. Each word is released during the last tile, so
that the next layer's weights follow at once. If the unit also computes shares of products of several arrays, an order
names the product. The weights of a shared product are read once, so there may be more of them than the RAMs hold.
"""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..counted import Counted
from ..dsp import CASCADE
from ..hierarchy import place
from ..memory import ReplayControl
from ..stream import connect, tile
from .activationbuffer import ActivationBuffer
from .arrayspec import ACTIVATION_BITS
from .linearspec import LinearSpec, exact_matmul
from .packedweights import PackedWeightsSpec, UnpackWeights
from .productorders import ReplayOrders
from .systolic import SystolicArray
from .weights import LoadChannel

__all__ = ["Linear", "LinearSpec", "ProductOrder", "exact_matmul"]


def ProductOrder(spec: LinearSpec) -> data.StructLayout:
    """An order of a unit that is `LinearSpec.ordered`: ``tiles`` of a ``product``, by its number in `shares`."""
    return spec.orders.order


class Linear(wiring.Component):
    """A linear unit. A tile takes `LinearSpec.cycles`; nothing stalls once a pass has begun.

    Members:
        order: stream; a layer's number of tiles, or a `ProductOrder` if the unit is `LinearSpec.ordered`.
        activations: tile stream, ``lanes_in`` int8 of each row in a beat.
        weights[i]: memory channels, beats of 512 bits: `LinearSpec.pack`.
        sums: tile stream, ``lanes`` signed sums of each row in a beat, features in order.
    """

    def __init__(self, spec: LinearSpec):
        self.spec = spec
        array = spec.array
        order: ShapeLike = ProductOrder(spec) if spec.ordered else unsigned(spec.max_tiles.bit_length())
        super().__init__(
            {
                "order": In(stream.Signature(order)),
                "activations": In(stream.Signature(tile(spec.rows, spec.lanes_in, signed(ACTIVATION_BITS)))),
                "weights": In(stream.Signature(unsigned(CHANNEL_BITS))).array(spec.channels),
                "sums": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(array.sum_bits)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, ring = self.spec, self.spec.ring
        m.submodules.array = array = SystolicArray(spec.array)
        m.submodules.buffer = buffer = ActivationBuffer(spec.buffer)
        m.submodules.weights = weights = ReplayControl(
            ring.depth, ring.max_repeat, hold=spec.hold, max_length=ring.max_length
        )
        connect(m, self.activations, buffer.input)
        connect(m, buffer.offers, array.offers)
        m.d.comb += array.word.eq(buffer.word)
        channels: list[Any] = list(self.weights)
        if spec.ordered:
            m.submodules.orders = orders = ReplayOrders(spec.orders)
            connect(m, self.order, orders.order)
            connect(m, orders.activations, buffer.order)
            connect(m, orders.weights, weights.order)
            if spec.packing:
                channels = self._unpacked(m, platform, spec.packing, orders)
        else:
            m.d.comb += [
                weights.order.valid.eq(self.order.valid),
                weights.order.payload.length.eq(spec.layer_words),
                weights.order.payload.repeat.eq(self.order.payload),
                self.order.ready.eq(weights.order.ready),
                buffer.order.valid.eq(1),
                buffer.order.payload.length.eq(spec.words),
                buffer.order.payload.repeat.eq(spec.passes),
            ]
        m.d.comb += [
            array.addresses.valid.eq(weights.addresses.valid),
            array.addresses.payload.eq(weights.addresses.payload.address),
            weights.addresses.ready.eq(array.addresses.ready),
        ]
        loads = [self._load(m, platform, index, channel, array) for index, channel in enumerate(channels)]
        self._count(m, weights, loads)
        connect(m, array.sums, self.sums)
        return m

    def _count(self, m: Module, weights: ReplayControl, loads: list[LoadChannel]) -> None:
        """Counts a word when all channels have written it, and tells them when a word of the ring is released."""
        ahead = [Counted(f"ahead{index}", self.spec.ram_depth, init=0) for index, _ in enumerate(loads)]
        written = Signal()
        released = Signal()
        m.d.comb += [written.eq(Cat(count.some for count in ahead).all()), weights.written.eq(written)]
        m.d.sync += released.eq(weights.released)
        for load, count in zip(loads, ahead, strict=True):
            count.step(m, up=load.written, down=written)
            m.d.comb += load.released.eq(released)

    def _load(self, m: Module, platform: Any, index: int, channel: Any, array: SystolicArray) -> LoadChannel:
        """Adds the loader of a channel's beats into its RAMs."""
        places = self.spec.loader.places(index)
        load = LoadChannel(self.spec.loader, len(places), self.spec.ram_depth)
        m.submodules[f"load_{index}"] = place(platform, load)
        connect(m, channel, load.channel)
        for ram, (column, cascade) in enumerate(places):
            write = array.write[column]
            m.d.comb += [
                write.enable[cascade].eq(load.enable[ram]),
                write.address.word_select(cascade, len(load.address[ram])).eq(load.address[ram]),
                write.data.word_select(cascade, 8 * CASCADE).eq(load.data[ram]),
            ]
        return load

    def _unpacked(self, m: Module, platform: Any, packing: PackedWeightsSpec, orders: ReplayOrders) -> list[Any]:
        """The int8 beats of all channels, whose weights may be packed."""
        units = []
        for i, (channel, order) in enumerate(zip(self.weights, orders.loads, strict=True)):
            unit = UnpackWeights(packing)
            m.submodules[f"unpack_{i}"] = place(platform, unit)
            connect(m, channel, unit.input)
            connect(m, order, unit.order)
            units.append(unit)
        return [unit.output for unit in units]
