"""Arrays that share the columns of each matrix product: for decoding, and for layers too large to lie on chip.

Every operator's output features are spread over the columns of all arrays, so all of them work on one product at a
time, and weights stream through their RAMs once for each block of tokens. Only the figures stand here so far.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from ..resources import Resources, ram_blocks
from .systolic import ArraySpec

__all__ = ["MAX_TERMS", "SharedColumnsSpec", "product_pass", "shared_cycles", "weight_bytes"]

MAX_TERMS = 4096
"""Longer contractions are cut in parts, whose sums are added after their scaling."""

GROUP, GROUP_SCALE_BITS = 64, 16
"""Weights of 4 bits that share a scale, and its bits."""


def weight_bytes(weights: int, bits: int) -> float:
    """Bytes of so many weights in memory: 8 bits each, or 4 with a scale for each group of `GROUP`.

    Raises:
        ValueError: for other widths.
    """
    if bits not in (4, 8):
        raise ValueError(f"weights must have 4 or 8 bits, not {bits}")
    return weights if bits == 8 else weights * (4 + GROUP_SCALE_BITS / GROUP) / 8


def product_pass(array: ArraySpec, inputs: int) -> int:
    """Cycles of a pass of a product of ``inputs`` features, or of one of its parts where it is cut."""
    return array.pass_cycles(ceil(inputs / ceil(inputs / MAX_TERMS) / array.depth))


def shared_cycles(features: int, passes: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Cycles in which arrays cover ``features``, of cases side by side: ``passes`` (cycles of one) and ``columns`` are
    [arrays, cases]. Every array makes as many passes as the time allows; the least time that is enough is found."""
    if len(passes) == 1:
        return -(-features // columns[0]) * passes[0]
    low = np.ones(passes.shape[1], dtype=np.int64)
    high = features * passes.max(axis=0)
    while (low < high).any():
        middle = (low + high) // 2
        enough = (middle // passes * columns).sum(axis=0) >= features
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return low


@dataclass(frozen=True, kw_only=True)
class SharedColumnsSpec:
    """``arrays`` of the same rows that work on one product at a time, with the activations of ``block`` tiles at hand.

    ``max_inputs`` is the longest row of activations.

    Raises:
        ValueError: where there is no array, or their rows differ.
    """

    arrays: tuple[ArraySpec, ...]
    block: int
    max_inputs: int

    def __post_init__(self) -> None:
        if not self.arrays or len({array.rows for array in self.arrays}) != 1:
            raise ValueError(f"shared arrays must be of the same rows, not {[array.rows for array in self.arrays]}")
        if self.block < 1:
            raise ValueError(f"shared arrays must hold a block of at least 1 tile, not {self.block}")

    @property
    def rows(self) -> int:
        """Tokens a tile."""
        return self.arrays[0].rows

    @cached_property
    def weights(self) -> int:
        """Weights taken a cycle."""
        return sum(array.columns * array.depth for array in self.arrays)

    @property
    def latency(self) -> int:
        """Cycles from a product's last activations to its first sums: that of the slowest array."""
        return max(array.latency for array in self.arrays)

    def product_cycles(self, inputs: int, outputs: int, tiles: int = 1) -> int:
        """Cycles for ``tiles`` tiles times ``inputs`` x ``outputs`` weights."""
        parts, passes = ceil(inputs / MAX_TERMS), [product_pass(array, inputs) for array in self.arrays]
        columns = [array.columns for array in self.arrays]
        return int(shared_cycles(outputs * parts, np.array(passes)[:, None], np.array(columns)[:, None])[0]) * tiles

    def readings(self, tiles: int) -> int:
        """How often the weights pass for so many tiles."""
        return ceil(tiles / self.block)

    @property
    def buffer_resources(self) -> Resources:
        """The activations of a block, those of a product that are read and those of the next that come in."""
        width = self.rows * 8 * max(array.depth for array in self.arrays)
        depth = 2 * self.block * ceil(self.max_inputs * self.rows * 8 / width)
        blocks, ultras = (ram_blocks(width, depth, style) for style in ("block", "ultra"))
        return blocks if blocks.bram36 <= 2 * ultras.uram else ultras
