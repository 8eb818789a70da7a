"""The figures of an attention unit: what scores and weighted sums have in common."""

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from ..dsp import CASCADE
from ..resources import Resources
from .activationbuffer import ActivationBufferSpec
from .arrayspec import ArraySpec
from .banks import BankSpec
from .barrier import BarrierSpec
from .kvblocks import BLOCK, KvBlockSpec
from .kvcache import CacheSpec
from .loadedcache import LoadedCacheSpec
from .unit import ArrayUnitSpec

__all__ = ["OFF_CHIP_LAYERS", "AttentionSpec"]

OFF_CHIP_LAYERS = 2
"""The fewest layers in the RAMs if the others are off chip: one that is read, and the next, which is loaded."""


@dataclass(frozen=True, kw_only=True)
class AttentionSpec(ArrayUnitSpec):
    """The size of an attention unit; `ScoresSpec` and `WeightedSumsSpec` derive from it.

    Attributes:
        rows: tokens of a tile.
        heads: heads, each of ``head_size`` features.
        head_size: features of a head.
        max_length: tokens of the longest sequence.
        columns: columns of the array.
        cascades: cascades of the array; its depth D is 8 times as large.
        lanes_in: features of a row in a beat of activations.
        lanes_stored: features of a row in a beat of keys or values.
        lanes: sums of a row in a beat of the output.
        ram_style: the style of the array's RAMs.
        layers: layers in the RAMs for causal attention; 0: bidirectional attention (see `banks`).
        channels: channels of the off-chip memory from which earlier tokens come; 0: all layers are on chip.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    heads: int
    head_size: int
    max_length: int
    columns: int
    cascades: int
    lanes_in: int
    lanes_stored: int
    lanes: int
    ram_style: str = "ultra"
    layers: int = 0
    channels: int = 0

    def __post_init__(self) -> None:
        if self.heads < 1 or self.max_length < 1:
            raise ValueError(f"attention must have a head and a token, not {self.heads} and {self.max_length}")
        if self.layers < 0:
            raise ValueError(f"attention layers must be at least 1 with a cache, or 0 without, not {self.layers}")
        if self.head_size % CASCADE:
            raise ValueError(f"attention head size must be a multiple of {CASCADE}, not {self.head_size}")
        if self.layers and self.max_length % self.rows:
            raise ValueError(
                f"attention with a cache must have whole tiles of {self.rows} tokens, not {self.max_length} tokens"
            )
        self._check_channels()
        if self.depth % self.lanes_in:
            raise ValueError(f"attention input lanes must divide its depth {self.depth}, not {self.lanes_in}")

    def _check_channels(self) -> None:
        if self.channels not in (0, 1, 2, 4, 8):
            raise ValueError(f"attention channels must be 0, 1, 2, 4 or 8, not {self.channels}")
        if self.channels and self.layers < OFF_CHIP_LAYERS:
            raise ValueError(f"attention with channels must have {OFF_CHIP_LAYERS} layers or more, not {self.layers}")
        if self.channels and self.columns % (BLOCK * self.channels):
            raise ValueError(
                f"attention columns must be a multiple of {BLOCK} for each of its {self.channels} channels, "
                f"not {self.columns}"
            )

    @property
    def depth(self) -> int:
        """Terms per cycle, D."""
        return self.cascades * CASCADE

    @property
    def max_tiles(self) -> int:
        """Tiles of the longest sequence."""
        return ceil(self.max_length / self.rows)

    def tiles(self, tokens: int) -> int:
        """Tiles of a sequence."""
        return ceil(tokens / self.rows)

    @property
    def banks(self) -> BankSpec:
        """Where the stored words lie, and when they may be read."""
        raise NotImplementedError

    def _banks(self, *, max_passes: int, max_words: int, along: Literal["passes", "words"], shares: int) -> BankSpec:
        """The banks of this unit's way of attending; for the arguments see `BankSpec`."""
        layout: dict[str, Any] = {
            "rows": self.rows, "max_tiles": self.max_tiles, "heads": self.heads, "max_passes": max_passes,
            "max_words": max_words, "along": along, "shares": shares,
        }  # fmt: skip
        if not self.layers:
            return BarrierSpec(**layout)
        if not self.channels:
            return CacheSpec(layers=self.layers, **layout)
        return LoadedCacheSpec(layers=self.layers, **layout)

    @property
    def blocks(self) -> KvBlockSpec:
        """The blocks of earlier tokens that the channels bring."""
        banks = self.banks
        return KvBlockSpec(
            columns=self.columns, cascades=self.cascades, channels=self.channels, address=banks.address,
            keys=banks.along == "passes",
        )  # fmt: skip

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        raise NotImplementedError

    @property
    def buffer(self) -> ActivationBufferSpec:
        """The buffer of activations."""
        raise NotImplementedError

    def _buffer(self, *, words: int, max_repeat: int) -> ActivationBufferSpec:
        """A buffer of ``words`` words, each read up to ``max_repeat`` times."""
        return ActivationBufferSpec(
            rows=self.rows, depth=self.depth, lanes=self.lanes_in, beats=self.depth // self.lanes_in, words=words,
            max_repeat=max_repeat,
        )  # fmt: skip

    @property
    def bounds(self) -> dict[str, str | int]:
        """The passes and words of an order: a constant, or the field of a layer's order that counts them."""
        raise NotImplementedError

    @property
    def order_fields(self) -> tuple[str | int, ...]:
        return tuple(self.bounds.get(name, name) for name in self.banks.order.members)

    def tile_cycles(self, tokens: int) -> int:
        """Cycles of a tile that sees ``tokens`` keys (paper, section 4: l d / M for each of its tokens)."""
        raise NotImplementedError

    def cycles(self, tokens: int) -> int:
        """Cycles of a layer of a whole sequence of ``tokens``.

        Each tile sees all keys, or with a cache those up to its own end.
        """
        tiles = self.tiles(tokens)
        if not self.layers:
            return tiles * self.tile_cycles(tokens)
        return sum(self.tile_cycles((tile + 1) * self.rows) for tile in range(tiles))

    def latency(self, words: int) -> int:
        """Cycles from the acceptance of the last stored beat of a layer (with a cache: of a tile) to that of the first
        sums, if its activations and its order are there; ``words``: those of a pass."""
        return 1 + words + self.array.latency

    @property
    def order_latency(self) -> int:
        """Cycles from the acceptance of an order to that of its first stored beat."""
        return 1

    @property
    def activation_latency(self) -> int:
        """Cycles from the acceptance of the beat that completes a word to the word's entry into the array, if its
        keys or values are stored."""
        return self.buffer.latency

    @property
    def resources(self) -> Resources:
        """DSP, RAM, LUT and FF; LUT and FF are estimates."""
        writer = Resources(lut=60 + 2 * self.columns, ff=60 + 8 * self.rows + 12 * self.columns)
        blocks = len(self.array.ram.blocks)
        if self.layers and blocks > 1:  # an enable for each byte of each RAM block, and one for the block
            writer += Resources(lut=self.columns * self.cascades * blocks * (CASCADE + 2))
        if self.channels:
            writer += self.blocks.merge_resources
        return self.array.resources + self.buffer.resources + self.banks.resources + writer
