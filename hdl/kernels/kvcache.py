"""The KV cache: keys and values of all layers, appended a token at a time, read as the weights of attention.

Only its figures stand here so far; decoding asks them.
"""

from dataclasses import dataclass
from math import ceil

from ..memory import RamSpec
from ..resources import Resources

__all__ = ["KvCacheSpec"]

WORD_BYTES = 8
"""Keys or values in a RAM word: what one cascade takes a cycle."""

PREFETCH_WORDS = 512
"""Words of each RAM in front of off-chip memory: two bursts of 256 beats."""


@dataclass(frozen=True, kw_only=True)
class KvCacheSpec:
    """A cache of int8 keys and values: ``features`` a token and layer, of ``layers`` and up to ``max_length`` tokens.

    ``banks`` RAMs of 64 bits are read at once. ``on_chip``: it lies in URAM; else in off-chip memory, behind buffers.

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
        """Bytes from off-chip memory for one token of all layers behind ``context`` others."""
        return 0 if self.on_chip else context * self.features * self.layers
