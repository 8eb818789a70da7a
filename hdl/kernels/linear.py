"""The systolic linear unit: a matrix of weights times tiles of tokens, weights streamed in layer after layer.

A tile's activations are packed into words of T x D and replayed once for every pass (C output features); the weights
of a layer lie in the columns' RAMs and are replayed once for every tile, each word let go during the last tile, so
that the next layer's follow at once. Where it also has a share of products that several arrays compute together, an
order names the product; a shared product's weights are read once, so they may be more than the RAMs hold.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, ShapeLike, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..memory import ReplayBuffer, ReplayControl, ReplaySpec
from ..resources import Resources
from ..stream import Pack, connect, tile
from .productorders import ProductOrder, ReplayOrders, replay_orders_resources
from .shared import ProductShare
from .systolic import ACTIVATION_BITS, ArraySpec, SystolicArray
from .weights import WeightChannels, load_channel

__all__ = ["Linear", "LinearSpec", "ProductOrder", "exact_matmul"]


def exact_matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Integer matrix product through float64, which is exact below 2**53 and uses BLAS, as integers do not.

    Raises:
        OverflowError: where a sum might not be exact.
    """
    bound = float(np.abs(left).max(initial=0)) * float(np.abs(right).max(initial=0)) * left.shape[-1]
    if bound >= 2**53:
        raise OverflowError(f"matrix product must stay below 2**53 to be exact in float64, not reach {bound:.3g}")
    return np.rint(left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class LinearSpec:
    """A linear unit: ``outputs`` x ``inputs`` weights on an array of ``rows`` x ``columns`` x ``cascades`` * 8.

    ``lanes_in`` features of a row arrive in a beat and ``lanes`` leave; ``channels`` memory channels fill the RAMs;
    ``ram_depth`` words of each RAM prefetch ahead; ``max_tiles`` is the longest sequence in tiles. ``products``: its
    shares of what several arrays compute together (`product_shares`), a tile each time; then words are never padded.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    inputs: int
    outputs: int
    columns: int
    cascades: int
    lanes_in: int
    lanes: int
    channels: int
    ram_depth: int
    max_tiles: int
    ram_style: str = "ultra"
    products: tuple[ProductShare, ...] = ()

    def __post_init__(self) -> None:
        if self.outputs % self.columns:
            raise ValueError(f"linear columns must divide its {self.outputs} outputs, not {self.columns}")
        if self.lanes_in < 1 or self.inputs % self.lanes_in or self.array.depth % self.lanes_in:
            raise ValueError(
                f"linear input lanes must divide its {self.inputs} inputs and depth {self.array.depth}, "
                f"not {self.lanes_in}"
            )
        if self.ram_depth < self.layer_words:
            raise ValueError(
                f"linear RAM must hold the {self.layer_words} words of a layer, not {self.ram_depth}; "
                "add columns or cascades"
            )
        for share in self.shares if self.products else ():
            if share.inputs % self.array.depth:
                raise ValueError(
                    f"linear inputs must be a multiple of the depth {self.array.depth} of an array that shares "
                    f"products, not {share.inputs}"
                )
        _ = self.loader

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        return ArraySpec(
            rows=self.rows,
            columns=self.columns,
            cascades=self.cascades,
            lanes=self.lanes,
            terms=max(share.inputs for share in self.shares),
            least_words=min(self.product_words),
            ram_depth=self.ram_depth,
            ram_style=self.ram_style,
        )

    @cached_property
    def shares(self) -> tuple[ProductShare, ...]:
        """What the array computes, by the number of the product: 0 is its own, all features of it."""
        own = ProductShare(inputs=self.inputs, outputs=self.outputs, first=0, stride=self.columns)
        return (own, *self.products)

    @property
    def loader(self) -> WeightChannels:
        """The memory channels."""
        return WeightChannels(columns=self.columns, cascades=self.cascades, channels=self.channels)

    @property
    def product_words(self) -> tuple[int, ...]:
        """Words of activations a pass, ceil(K/D), of each product."""
        return tuple(ceil(share.inputs / (self.cascades * CASCADE)) for share in self.shares)

    @property
    def words(self) -> int:
        """Words of activations a pass of its own product."""
        return self.product_words[0]

    @property
    def passes(self) -> int:
        """Passes a tile of its own product, N/C."""
        return self.outputs // self.columns

    @property
    def ram_words(self) -> tuple[int, ...]:
        """Words each RAM gets of the weights of each product."""
        return tuple(words * share.rounds for words, share in zip(self.product_words, self.shares, strict=True))

    @property
    def layer_words(self) -> int:
        """Words each RAM holds of a layer's weights."""
        return self.ram_words[0]

    @property
    def channel_rams(self) -> int:
        """RAMs a memory channel feeds."""
        return self.loader.channel_rams

    @property
    def groups(self) -> int:
        """Beats that make one word for each RAM of a channel."""
        return self.loader.groups

    @property
    def layer_beats(self) -> int:
        """Beats a memory channel delivers for a layer."""
        return self.product_beats(0)

    def product_beats(self, product: int) -> int:
        """Beats a memory channel delivers for a product's weights."""
        return self.ram_words[product] * self.groups

    def cycles(self, tiles: int, product: int = 0) -> int:
        """Cycles the array is busy for ``tiles`` tiles, weights and activations at hand (paper, section 4: l d dFFN /
        M)."""
        return tiles * self.shares[product].rounds * self.array.pass_cycles(self.product_words[product])

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to that of its first sums, array idle, weights and tile
        there."""
        return self.activation_latency + self.array.latency

    @property
    def activation_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word's entry into the array."""
        return 1 + self.replay.latency

    @property
    def weight_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word of weights in all RAMs to its entry into the
        array: counted in its channel, then in all."""
        return 2

    @property
    def replay(self) -> ReplaySpec:
        """The activation buffer: a tile is read while the next arrives; of shared products there is one at a time."""
        depth = max(2 * self.words, *self.product_words)
        repeat = max(share.rounds for share in self.shares)
        return ReplaySpec(self.rows * self.array.depth * 8, depth, "block" if depth > 64 else "distributed", repeat)

    @property
    def ring(self) -> ReplaySpec:
        """The ring of weights, a byte of it: the words are counted once for all RAMs."""
        return ReplaySpec(8, self.ram_depth, self.ram_style, self.max_tiles, max(self.ram_words))

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        pack = Resources(lut=self.rows * self.array.depth * 8, ff=3 * self.rows * self.array.depth * 8)
        orders = replay_orders_resources(self) if self.products else Resources()
        control = self.ring.control_resources + orders
        return self.array.resources + self.replay.resources + control + pack + self.loader.resources

    def reference(self, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums, int64 [tokens, outputs], of int8 activations [tokens, inputs] and weights [outputs, inputs]."""
        return exact_matmul(activations, weights.T)

    def pack(self, weights: np.ndarray, product: int = 0) -> np.ndarray:
        """A layer's weights, int8 [outputs, inputs] of the whole product, as the memory channels deliver them: uint8
        [channels, `product_beats`, 64]."""
        share = self.shares[product]
        features = [self.array.feature(column) for column in range(self.columns)]
        cut = share.cut(weights, self.columns)[:, features]
        padding = self.product_words[product] * self.array.depth - share.inputs
        return self.loader.pack(np.pad(cut, ((0, 0), (0, 0), (0, padding))))


class Linear(wiring.Component):
    """A linear unit. A tile takes `LinearSpec.cycles`; nothing stalls once a pass has begun.

    Members: ``order`` (stream of a layer's number of tiles; of `ProductOrder` where there are shared products),
    ``activations`` (tile stream, ``lanes_in`` int8 a row),
    ``weights[i]`` (memory channels, beats of 512 bits: `LinearSpec.pack`), ``sums`` (tile stream, ``lanes`` signed
    sums a row, features in order).
    """

    def __init__(self, spec: LinearSpec):
        self.spec = spec
        array = spec.array
        order: ShapeLike = ProductOrder(spec) if spec.products else unsigned(spec.max_tiles.bit_length())
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
        spec = self.spec
        m.submodules.array = array = SystolicArray(spec.array)
        replay, ring = self._activations(m, array), spec.ring
        m.submodules.weights = weights = ReplayControl(
            ring.depth, ring.max_repeat, hold=spec.array.read_delay, max_length=ring.max_length
        )
        if spec.products:
            m.submodules.orders = orders = ReplayOrders(spec)
            connect(m, self.order, orders.order)
            connect(m, orders.activations, replay.order)
            connect(m, orders.weights, weights.order)
        else:
            m.d.comb += [
                weights.order.valid.eq(self.order.valid),
                weights.order.payload.length.eq(spec.layer_words),
                weights.order.payload.repeat.eq(self.order.payload),
                self.order.ready.eq(weights.order.ready),
            ]
        connect(m, weights.addresses, array.addresses)
        ahead = [
            load_channel(m, spec.loader, channel, self.weights[channel], weights, array) != 0
            for channel in range(spec.channels)
        ]
        m.d.comb += weights.written.eq(Cat(ahead).all())
        connect(m, array.sums, self.sums)
        return m

    def _activations(self, m: Module, array: SystolicArray) -> ReplayBuffer:
        """Packs a tile into words and replays it for every pass."""
        spec = self.spec
        ratio = spec.array.depth // spec.lanes_in
        beats = ratio if spec.products else spec.inputs // spec.lanes_in
        m.submodules.pack = pack = Pack(spec.rows, spec.lanes_in, ratio, signed(ACTIVATION_BITS), beats=beats)
        words, shape = spec.replay, tile(spec.rows, spec.array.depth, signed(ACTIVATION_BITS))
        m.submodules.replay = replay = ReplayBuffer(shape, words.depth, style=words.style, max_repeat=words.max_repeat)
        connect(m, self.activations, pack.input)
        connect(m, pack.output, replay.input)
        if not spec.products:
            m.d.comb += [
                replay.order.valid.eq(1),
                replay.order.payload.length.eq(spec.words),
                replay.order.payload.repeat.eq(spec.passes),
            ]
        m.d.comb += [
            array.activations.valid.eq(replay.output.valid),
            array.activations.payload.word.eq(replay.output.payload),
            array.activations.payload.last.eq(replay.last),
            replay.output.ready.eq(array.activations.ready),
        ]
        return replay
