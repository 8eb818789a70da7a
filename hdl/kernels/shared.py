"""Arrays that share each matrix product: for decoding, and for layers that are too large to lie on chip.

The output features of a product are spread over the columns of all arrays. So all arrays work on one product at a time,
and its weights stream through their RAMs once for each block of tokens.

The arrays work in rounds. In a round each array makes one pass. With arrays of 4 and 2 columns, round 0 computes the
features 0 to 3 in the first array and 4 and 5 in the second, round 1 the features 6 to 9 and 10 and 11, and so on. This
module has the figures; `sharing` has the hardware around the arrays.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Shape

from ..resources import Resources, ram_blocks
from ..stream import buffer_resources
from .arrayspec import ACTIVATION_BITS, MAX_TERMS, ArraySpec

__all__ = [
    "MAX_TERMS",
    "Product",
    "ProductShare",
    "SharedColumnsSpec",
    "check_own",
    "product_pass",
    "product_shares",
    "shared_cycles",
    "weight_bytes",
]

GROUP = 64
"""Inputs of an output whose weights of 4 bits share a factor."""

GROUP_FACTOR_BITS = 4


def weight_bytes(weights: int, bits: int) -> float:
    """Bytes of ``weights`` weights in memory: 8 bits each, or 4 with a factor for each group of `GROUP`.

    Raises:
        ValueError: for other widths.
    """
    check_bits(bits)
    return weights if bits == 8 else weights * (4 + GROUP_FACTOR_BITS / GROUP) / 8


def check_bits(bits: int) -> None:
    """Checks that memory can hold weights of so many bits.

    Raises:
        ValueError: for other widths than 4 and 8.
    """
    if bits not in (4, 8):
        raise ValueError(f"weights must have 4 or 8 bits, not {bits}")


def product_pass(array: ArraySpec, inputs: int) -> int:
    """Cycles of a pass of a product of ``inputs`` features, or of one of the parts into which it is cut."""
    return array.pass_cycles(ceil(inputs / ceil(inputs / MAX_TERMS) / array.depth))


def shared_cycles(features: int, passes: np.ndarray, columns: np.ndarray, chains: np.ndarray) -> np.ndarray:
    """Cycles in which arrays compute ``features``, for several cases at once.

    ``passes`` (cycles of a pass), ``columns``, and ``chains`` (beats of the sums of a pass) are [arrays, cases]. A
    round takes as long as the slowest pass, and at least one cycle for each beat of all sums.
    """
    rounds = -(-features // columns.sum(axis=0))
    return np.asarray(rounds * np.maximum(passes.max(axis=0), chains.sum(axis=0)), dtype=np.int64)


class Product(NamedTuple):
    """A matrix of ``outputs`` x ``inputs`` weights, of 4 or 8 ``bits`` in memory."""

    inputs: int
    outputs: int
    bits: int = 8


@dataclass(frozen=True, kw_only=True)
class ProductShare:
    """An array's share of a product: of each ``stride`` features those from ``first`` on, one for each column.

    Features after the product's last are padding. In the example above, the second array's share has ``first`` 4 and
    ``stride`` 6.

    Attributes:
        inputs: inputs of the product.
        outputs: features of the product.
        first: the share's first feature in each round.
        stride: features of a round.
        bits: bits of a weight in memory, 4 or 8.

    Raises:
        ValueError: for other bits.
    """

    inputs: int
    outputs: int
    first: int
    stride: int
    bits: int = 8

    def __post_init__(self) -> None:
        check_bits(self.bits)

    @property
    def factors(self) -> int:
        """Factors of an output's weights, if these have 4 bits."""
        return ceil(self.inputs / GROUP)

    @property
    def rounds(self) -> int:
        """Passes that cover the product."""
        return ceil(self.outputs / self.stride)

    def cut(self, values: np.ndarray, columns: int) -> np.ndarray:
        """The share's rows of ``values`` [outputs, any], which belong to the product's outputs: [rounds, columns, any].

        Padding is 0.
        """
        padded = np.zeros((self.rounds * self.stride, values.shape[1]), dtype=values.dtype)
        padded[: self.outputs] = values
        return padded.reshape(self.rounds, self.stride, -1)[:, self.first : self.first + columns]


def product_shares(columns: tuple[int, ...], products: tuple[Product, ...]) -> list[tuple[ProductShare, ...]]:
    """The shares of ``products`` for arrays with so many columns, by array."""
    firsts = [0, *accumulate(columns)]
    return [
        tuple(ProductShare(**p._asdict(), first=first, stride=firsts[-1]) for p in products) for first in firsts[:-1]
    ]


def check_own(arrays: int, products: int) -> None:
    """Checks that every array has a product of its own.

    Raises:
        ValueError: for fewer products than arrays.
    """
    if products < arrays:
        raise ValueError(f"shared arrays must have a product each, not {products} for {arrays}")


@dataclass(frozen=True, kw_only=True)
class SharedColumnsSpec:
    """Arrays that work on one product at a time.

    Attributes:
        arrays: the arrays, which have the same rows.
        block: tiles whose activations are buffered, and which share one reading of the weights.
        max_inputs: features of the longest row of activations.
        products: the products of `Distribute` and `Collect`, first the arrays' own. Their inputs fill whole words of
            every array, their outputs whole beats of ``lanes``.

    Raises:
        ValueError: for no array, or arrays of different rows; with products, for arrays of different lanes or widths of
            sums, and for a product that does not fill words and beats.
    """

    arrays: tuple[ArraySpec, ...]
    block: int
    max_inputs: int
    products: tuple[Product, ...] = ()

    distribute_latency = 1
    """Latency of `Distribute`: its buffers."""

    collect_latency = 2
    """Latency of `Collect`: the buffers on both sides."""

    def __post_init__(self) -> None:
        if not self.arrays or len({array.rows for array in self.arrays}) != 1:
            raise ValueError(f"shared arrays must be of the same rows, not {[array.rows for array in self.arrays]}")
        if self.block < 1:
            raise ValueError(f"shared arrays must hold a block of at least 1 tile, not {self.block}")
        if not self.products:
            return
        check_own(len(self.arrays), len(self.products))
        for name in ("lanes", "sum_bits"):
            if len(set(found := [getattr(array, name) for array in self.arrays])) != 1:
                raise ValueError(f"shared arrays must be of the same {name}, not {found}")
        for inputs, outputs, _ in self.products:
            if any(inputs % array.depth for array in self.arrays) or outputs % self.lanes:
                raise ValueError(
                    f"shared products must have inputs in multiples of {[array.depth for array in self.arrays]} and "
                    f"outputs in multiples of {self.lanes}, not {inputs} and {outputs}"
                )

    @property
    def rows(self) -> int:
        """Tokens of a tile."""
        return self.arrays[0].rows

    @property
    def lanes(self) -> int:
        """Features of a beat."""
        return self.arrays[0].lanes

    @property
    def sum_bits(self) -> int:
        """Width of a sum."""
        return self.arrays[0].sum_bits

    @property
    def order(self) -> Shape:
        """The number of a product."""
        return Shape.cast(range(len(self.products)))

    @property
    def max_beats(self) -> int:
        """Beats of sums of the largest product."""
        return max(product.outputs for product in self.products) // self.lanes

    @property
    def columns(self) -> int:
        """Features of a round."""
        return sum(array.columns for array in self.arrays)

    @property
    def chains(self) -> tuple[int, ...]:
        """Beats of sums that each array gives in a round."""
        return tuple(array.chain for array in self.arrays)

    @cached_property
    def weights(self) -> int:
        """Weights read per cycle."""
        return sum(array.columns * array.depth for array in self.arrays)

    @property
    def latency(self) -> int:
        """Cycles from a product's last activations to its first sums: that of the slowest array."""
        return max(array.latency for array in self.arrays)

    def product_cycles(self, inputs: int, outputs: int, tiles: int = 1) -> int:
        """Cycles for ``tiles`` tiles times ``inputs`` x ``outputs`` weights, if weights and activations are there."""
        figures = [(product_pass(array, inputs), array.columns, array.chain) for array in self.arrays]
        passes, columns, chains = np.array(figures).T[..., None]
        return int(shared_cycles(outputs * ceil(inputs / MAX_TERMS), passes, columns, chains)[0]) * tiles

    def sums_latency(self, inputs: int, outputs: int) -> int:
        """Cycles from the entry of a product's last activations into the arrays to its last sums after `Collect`.

        The activations enter in the first round; the weights are there.
        """
        beats, turn_starts = outputs // self.lanes, [0, *accumulate(self.chains)]
        rounds = ceil(outputs / self.columns)
        # After a beat that waits for its array, beats follow one per cycle. That beat is in the first or last round.
        return self.collect_latency + max(
            array.latency + j * product_pass(array, inputs) + beats - 1 - (j * turn_starts[-1] + start)
            for array, start in zip(self.arrays, turn_starts, strict=False)
            for j in (0, rounds - 1)
            if j * turn_starts[-1] + start < beats
        )

    def readings(self, tiles: int) -> int:
        """How often the weights are read for ``tiles`` tiles."""
        return ceil(tiles / self.block)

    @property
    def distribute_resources(self) -> Resources:
        """LUT and FF of `Distribute`, estimated: the choice of the row, and a choice and a buffer for each array."""
        width, arrays = self.rows * self.lanes * ACTIVATION_BITS, len(self.arrays)
        return buffer_resources(width, 2) * arrays + Resources(lut=width * (arrays + 1) + 28, ff=10)

    @property
    def collect_resources(self) -> Resources:
        """LUT and FF of `Collect`, estimated: buffers on both sides, the choice of the sums, and one per product."""
        width, products = self.rows * self.lanes * self.sum_bits, len(self.products)
        buffers = buffer_resources(width, 2) * (len(self.arrays) + products)
        return buffers + Resources(lut=width * (products + 1) + 50, ff=20)

    @property
    def buffer_resources(self) -> Resources:
        """The buffer of activations of a block: those that are read, and those of the next product, which arrive."""
        width = self.rows * 8 * max(array.depth for array in self.arrays)
        depth = 2 * self.block * ceil(self.max_inputs * self.rows * 8 / width)
        blocks, ultras = (ram_blocks(width, depth, style) for style in ("block", "ultra"))
        return blocks if blocks.bram36 <= 2 * ultras.uram else ultras
