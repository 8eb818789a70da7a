"""Arrays that share the columns of each matrix product: for decoding, and for layers too large to lie on chip.

Every operator's output features are spread over the columns of all arrays, so all of them work on one product at a
time, and weights stream through their RAMs once for each block of tokens.

They work in rounds, of one pass of every array: round j computes the features from j times all columns on, those of the
first array's columns first. The figures stand here, the hardware around the arrays in `sharing`.
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
    """Bytes of so many weights in memory: 8 bits each, or 4 with a factor for each group of `GROUP`.

    Raises:
        ValueError: for other widths.
    """
    check_bits(bits)
    return weights if bits == 8 else weights * (4 + GROUP_FACTOR_BITS / GROUP) / 8


def check_bits(bits: int) -> None:
    """Refuses weights of other widths than memory can hold.

    Raises:
        ValueError: for other widths than 4 and 8.
    """
    if bits not in (4, 8):
        raise ValueError(f"weights must have 4 or 8 bits, not {bits}")


def product_pass(array: ArraySpec, inputs: int) -> int:
    """Cycles of a pass of a product of ``inputs`` features, or of one of its parts where it is cut."""
    return array.pass_cycles(ceil(inputs / ceil(inputs / MAX_TERMS) / array.depth))


def shared_cycles(features: int, passes: np.ndarray, columns: np.ndarray, chains: np.ndarray) -> np.ndarray:
    """Cycles in which arrays cover ``features``, of cases side by side: ``passes`` (cycles of one), ``columns`` and
    ``chains`` (beats of the sums of a pass) are [arrays, cases].

    A round takes the slowest array's pass, and no less than the beats of all sums, which leave one a cycle.
    """
    rounds = -(-features // columns.sum(axis=0))
    return np.asarray(rounds * np.maximum(passes.max(axis=0), chains.sum(axis=0)), dtype=np.int64)


class Product(NamedTuple):
    """A matrix of ``outputs`` x ``inputs`` weights of so many ``bits`` in memory, 4 or 8."""

    inputs: int
    outputs: int
    bits: int = 8


@dataclass(frozen=True, kw_only=True)
class ProductShare:
    """An array's share of a product of ``inputs`` and ``outputs``: the features from ``first`` on, as many as it has
    columns, of every ``stride`` features. Those behind the product's last are padding. ``bits`` of a weight in memory.

    Raises:
        ValueError: for other weights than of 4 or 8 bits.
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
        """Factors of an output, where weights have 4 bits."""
        return ceil(self.inputs / GROUP)

    @property
    def rounds(self) -> int:
        """Passes that cover the product."""
        return ceil(self.outputs / self.stride)

    def cut(self, values: np.ndarray, columns: int) -> np.ndarray:
        """The share's rows of what there is of each output of the product, [outputs, any], as [rounds, columns, any];
        padding is 0."""
        padded = np.zeros((self.rounds * self.stride, values.shape[1]), dtype=values.dtype)
        padded[: self.outputs] = values
        return padded.reshape(self.rounds, self.stride, -1)[:, self.first : self.first + columns]


def product_shares(columns: tuple[int, ...], products: tuple[Product, ...]) -> list[tuple[ProductShare, ...]]:
    """The shares that arrays of so many columns have of ``products``, by array."""
    firsts = [0, *accumulate(columns)]
    return [
        tuple(ProductShare(**p._asdict(), first=first, stride=firsts[-1]) for p in products) for first in firsts[:-1]
    ]


def check_own(arrays: int, products: int) -> None:
    """Refuses products among which not every array has its own.

    Raises:
        ValueError: for fewer products than arrays.
    """
    if products < arrays:
        raise ValueError(f"shared arrays must have a product each, not {products} for {arrays}")


@dataclass(frozen=True, kw_only=True)
class SharedColumnsSpec:
    """``arrays`` of the same rows that work on one product at a time, with the activations of ``block`` tiles at hand.

    ``max_inputs`` is the longest row of activations. ``products`` are those that `Distribute` and `Collect` know, the
    first of them the arrays' own: their inputs fill whole words of every array, their outputs whole beats of ``lanes``.

    Raises:
        ValueError: where there is no array, or their rows differ; and for products, where the arrays' lanes or the
            widths of their sums do, or a product does not fill words and beats.
    """

    arrays: tuple[ArraySpec, ...]
    block: int
    max_inputs: int
    products: tuple[Product, ...] = ()

    distribute_latency = 1
    """Of `Distribute`: its buffers."""

    collect_latency = 2
    """Of `Collect`: buffers on both sides."""

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
        """Tokens a tile."""
        return self.arrays[0].rows

    @property
    def lanes(self) -> int:
        """Features a beat."""
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
        """Features a round."""
        return sum(array.columns for array in self.arrays)

    @property
    def chains(self) -> tuple[int, ...]:
        """Beats of sums that each array gives in a round."""
        return tuple(array.chain for array in self.arrays)

    @cached_property
    def weights(self) -> int:
        """Weights taken a cycle."""
        return sum(array.columns * array.depth for array in self.arrays)

    @property
    def latency(self) -> int:
        """Cycles from a product's last activations to its first sums: that of the slowest array."""
        return max(array.latency for array in self.arrays)

    def product_cycles(self, inputs: int, outputs: int, tiles: int = 1) -> int:
        """Cycles for ``tiles`` tiles times ``inputs`` x ``outputs`` weights, weights and activations at hand."""
        figures = [(product_pass(array, inputs), array.columns, array.chain) for array in self.arrays]
        passes, columns, chains = np.array(figures).T[..., None]
        return int(shared_cycles(outputs * ceil(inputs / MAX_TERMS), passes, columns, chains)[0]) * tiles

    def sums_latency(self, inputs: int, outputs: int) -> int:
        """Cycles from the entry of a product's last activations into the arrays, which is in the first round, to its
        last sums behind `Collect`, weights at hand."""
        beats, turn_starts = outputs // self.lanes, [0, *accumulate(self.chains)]
        rounds = ceil(outputs / self.columns)
        # From a beat on that waits for its array they follow one a cycle: so it is one of the first round or the last.
        return self.collect_latency + max(
            array.latency + j * product_pass(array, inputs) + beats - 1 - (j * turn_starts[-1] + start)
            for array, start in zip(self.arrays, turn_starts, strict=False)
            for j in (0, rounds - 1)
            if j * turn_starts[-1] + start < beats
        )

    def readings(self, tiles: int) -> int:
        """How often the weights pass for so many tiles."""
        return ceil(tiles / self.block)

    @property
    def distribute_resources(self) -> Resources:
        """LUT and FF of `Distribute`, estimated: the row chosen, and for each array its own or that one in a buffer."""
        width, arrays = self.rows * self.lanes * ACTIVATION_BITS, len(self.arrays)
        return buffer_resources(width, 2) * arrays + Resources(lut=width * (arrays + 1) + 28, ff=10)

    @property
    def collect_resources(self) -> Resources:
        """LUT and FF of `Collect`, estimated: buffers on both sides, the sums chosen, and what each product gets."""
        width, products = self.rows * self.lanes * self.sum_bits, len(self.products)
        buffers = buffer_resources(width, 2) * (len(self.arrays) + products)
        return buffers + Resources(lut=width * (products + 1) + 50, ff=20)

    @property
    def buffer_resources(self) -> Resources:
        """The activations of a block, those of a product that are read and those of the next that come in."""
        width = self.rows * 8 * max(array.depth for array in self.arrays)
        depth = 2 * self.block * ceil(self.max_inputs * self.rows * 8 / width)
        blocks, ultras = (ram_blocks(width, depth, style) for style in ("block", "ultra"))
        return blocks if blocks.bram36 <= 2 * ultras.uram else ultras
