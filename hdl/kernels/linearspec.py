"""The figures of a linear unit: what it computes, its words and cycles, and how its weights lie in memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..dsp import CASCADE
from ..memory import ReplaySpec
from ..ram import BLOCK_DEPTH
from ..resources import Resources
from .activationbuffer import ActivationBufferSpec
from .arrayspec import ArraySpec
from .packedweights import PackedWeightsSpec
from .productorders import ProductBounds, ProductOrdersSpec
from .shared import ProductShare
from .unit import ArrayUnitSpec
from .weights import WeightChannels

__all__ = ["LinearSpec", "exact_matmul"]


def exact_matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Integer matrix product by float64, which is exact below 2**53 and, unlike integers, uses BLAS.

    Raises:
        OverflowError: for operands whose sums might not be exact.
    """
    bound = float(np.abs(left).max(initial=0)) * float(np.abs(right).max(initial=0)) * left.shape[-1]
    if bound >= 2**53:
        raise OverflowError(f"matrix product must stay below 2**53 to be exact in float64, not reach {bound:.3g}")
    return np.rint(left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)


def pass_words(inputs: Any, cascades: Any) -> Any:
    """Words of activations of a pass over so many inputs, ceil(K/D). Numbers, or arrays of them."""
    return -(-inputs // (CASCADE * cascades))


def ram_depth(layer_words: Any, layers: Any) -> Any:
    """Words of a RAM for the weights of so many layers: of one layer at least, of more only as far as they fit one
    URAM288. Numbers, or arrays of them."""
    return np.maximum(layer_words, np.minimum(layers * layer_words, BLOCK_DEPTH["ultra"]))


@dataclass(frozen=True, kw_only=True)
class LinearSpec(ArrayUnitSpec):
    """The size of a linear unit.

    With several products, or packed weights, the inputs of each product must fill whole words.

    Attributes:
        rows: tokens of a tile.
        inputs: inputs of its own product.
        outputs: output features of its own product.
        columns: columns of the array.
        cascades: cascades of the array; its depth D is 8 times as large.
        lanes_in: features of a row in a beat of activations.
        lanes: sums of a row in a beat of the output.
        channels: memory channels that fill the RAMs.
        ram_depth: words of each RAM, which hold at least a layer; the rest is loaded ahead.
        max_tiles: tiles of the longest sequence.
        ram_style: the style of the RAMs.
        products: its shares of products that several arrays compute together (`product_shares`), one tile per order.
        weight_bits: bits of its own product's weights in memory, 4 or 8.
        block: words of each RAM in a block of memory (`WeightChannels`).

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
    weight_bits: int = 8
    block: int = 1

    def __post_init__(self) -> None:
        if self.outputs % self.columns:
            raise ValueError(f"linear columns must divide its {self.outputs} outputs, not {self.columns}")
        if self.lanes_in < 1 or self.inputs % self.lanes_in or self.depth % self.lanes_in:
            raise ValueError(
                f"linear input lanes must divide its {self.inputs} inputs and depth {self.depth}, not {self.lanes_in}"
            )
        if self.ram_depth < self.layer_words:
            raise ValueError(
                f"linear RAM must hold the {self.layer_words} words of a layer, not {self.ram_depth}; "
                "add columns or cascades"
            )
        for share in self.shares if self.ordered else ():
            if share.inputs % self.array.depth:
                raise ValueError(
                    f"linear inputs must be a multiple of the depth {self.array.depth} of an array whose orders name "
                    f"products, not {share.inputs}"
                )
        _ = self.array, [self.loader.beats(words) for words in self.ram_words], self.packing

    @cached_property
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
            word_latency=self.buffer.read_latency,
        )

    @property
    def depth(self) -> int:
        """Terms per cycle, D."""
        return self.cascades * CASCADE

    @property
    def order_fields(self) -> tuple[str | int, ...]:
        return ("product", "tiles") if self.ordered else ("tiles",)

    @cached_property
    def shares(self) -> tuple[ProductShare, ...]:
        """The array's shares of products, by the product's number; 0 is its own, of which it computes all features."""
        own = ProductShare(
            inputs=self.inputs, outputs=self.outputs, first=0, stride=self.columns, bits=self.weight_bits
        )
        return (own, *self.products)

    @property
    def ordered(self) -> bool:
        """Whether an order names its product; if not, it is only a number of tiles."""
        return bool(self.products) or self.weight_bits != 8

    @property
    def packed(self) -> bool:
        """Whether any weights have 4 bits in memory."""
        return any(share.bits == 4 for share in self.shares)

    @cached_property
    def packing(self) -> PackedWeightsSpec | None:
        """How weights of 4 bits lie in memory, if there are any."""
        if not self.packed:
            return None
        passes = max(share.rounds for share in self.shares)
        return PackedWeightsSpec(channels=self.loader, max_words=max(self.product_words), max_passes=passes)

    @property
    def orders(self) -> ProductOrdersSpec:
        """The orders of a unit that is `ordered`."""
        return ProductOrdersSpec(
            products=tuple(
                ProductBounds(words=words, passes=share.rounds, ram_words=ram_words, packed=share.bits == 4)
                for words, ram_words, share in zip(self.product_words, self.ram_words, self.shares, strict=True)
            ),
            max_tiles=self.max_tiles, buffer=self.buffer, ring=self.ring, packing=self.packing, channels=self.channels,
        )  # fmt: skip

    @cached_property
    def loader(self) -> WeightChannels:
        """The memory channels."""
        return WeightChannels(
            columns=self.columns, cascades=self.cascades, channels=self.channels, block=self.block,
            whole_columns=self.packed,
        )  # fmt: skip

    @cached_property
    def product_words(self) -> tuple[int, ...]:
        """Words of activations in a pass, ceil(K/D), of each product."""
        return tuple(pass_words(share.inputs, self.cascades) for share in self.shares)

    @property
    def words(self) -> int:
        """Words of activations in a pass of its own product."""
        return self.product_words[0]

    @property
    def passes(self) -> int:
        """Passes for a tile of its own product, N/C."""
        return self.outputs // self.columns

    @cached_property
    def ram_words(self) -> tuple[int, ...]:
        """Words of each product's weights in each RAM."""
        return tuple(words * share.rounds for words, share in zip(self.product_words, self.shares, strict=True))

    @property
    def layer_words(self) -> int:
        """Words of a layer's weights in each RAM."""
        return self.ram_words[0]

    @property
    def channel_rams(self) -> int:
        """RAMs of a memory channel."""
        return self.loader.channel_rams

    @property
    def layer_beats(self) -> int:
        """Beats of a layer's weights from each memory channel."""
        return self.product_beats(0)

    def product_beats(self, product: int) -> int:
        """Beats of a product's weights from each memory channel."""
        share = self.shares[product]
        if self.packing and share.bits == 4:
            return self.packing.beats(share.rounds, self.product_words[product])
        return self.loader.beats(self.ram_words[product])

    def load_cycles(self, product: int) -> int:
        """Cycles in which a channel fills the RAMs with a product's weights, if memory keeps up."""
        share = self.shares[product]
        if self.packing and share.bits == 4:
            return self.packing.cycles(share.rounds, self.product_words[product])
        return self.product_beats(product)

    def cycles(self, tiles: int, product: int = 0) -> int:
        """Cycles for ``tiles`` tiles, if weights and activations are there (paper, section 4: l d dFFN / M)."""
        return tiles * self.shares[product].rounds * self.array.pass_cycles(self.product_words[product])

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles(1)

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to that of its first sums, if the array is idle and its
        weights are there."""
        return self.activation_latency + self.array.latency

    @property
    def activation_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word's entry into the array."""
        return self.buffer.latency

    @property
    def weight_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word of weights in all RAMs to its entry into the
        array.

        The word is counted for its channel, then for all channels; if weights are packed, it is unpacked before.
        """
        return 2 + ReplaySpec.control_latency + (self.packing.latency if self.packing else 0)

    @property
    def hold(self) -> int:
        """Cycles from the last acceptance of a weight's address until its place is released.

        The last column has not read the weight then. It has before the place is written: the release reaches the
        channel in 2 cycles, and the new weight reaches the RAM in 2.
        """
        return max(self.array.read_delay - 3, 0)

    @property
    def release_latency(self) -> int:
        """Cycles from the last entry of a weight into the array until a channel may take a beat for its place, less
        one."""
        return self.hold + 1

    @property
    def buffer(self) -> ActivationBufferSpec:
        """The activation buffer: a tile is read while the next arrives; a shared product has only one tile."""
        return ActivationBufferSpec(
            rows=self.rows, depth=self.depth, lanes=self.lanes_in,
            beats=self.depth // self.lanes_in if self.ordered else self.inputs // self.lanes_in,
            words=max(2 * self.words, *self.product_words), max_repeat=max(share.rounds for share in self.shares),
        )  # fmt: skip

    @property
    def ring(self) -> ReplaySpec:
        """The ring of weights, as of one byte: its words are counted once for all RAMs."""
        return ReplaySpec(8, self.ram_depth, self.ram_style, self.max_tiles, max(self.ram_words))

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        control = self.ring.control_resources + (self.orders.resources if self.ordered else Resources())
        loader = self.loader.resources + (self.packing.resources * self.channels if self.packing else Resources())
        return self.array.resources + self.buffer.resources + control + loader

    def reference(self, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums, int64 [tokens, outputs], of int8 activations [tokens, inputs] and weights [outputs, inputs]."""
        return exact_matmul(activations, weights.T)

    def pack(self, weights: np.ndarray, product: int = 0, factors: np.ndarray | None = None) -> np.ndarray:
        """The beats of the unit's share of a layer's weights: uint8 [channels, `product_beats`, 64].

        ``weights``: of the whole product, int8 [outputs, inputs]. Weights of 4 bits are -8..7, and have ``factors``,
        uint8 [outputs, inputs / 64].
        """
        share = self.shares[product]
        wanted = {"weights": (share.outputs, share.inputs)}
        if share.bits == 4:
            wanted["factors"] = (share.outputs, share.factors)
        for name, given in (("weights", weights), ("factors", factors)):
            if (found := None if given is None else given.shape) != wanted.get(name):
                raise ValueError(f"linear {name} must be {wanted.get(name)}, not {found}")
        features = [self.array.feature(column) for column in range(self.columns)]
        cut = share.cut(weights, self.columns)[:, features]
        if self.packing and factors is not None:
            return self.packing.pack(cut, share.cut(factors, self.columns)[:, features])
        padding = self.product_words[product] * self.array.depth - share.inputs
        return self.loader.pack(np.pad(cut, ((0, 0), (0, 0), (0, padding))))
