"""Keys or values in off-chip memory: where they lie, and which part of them a layer loads.

A beat is a block of 8 tokens x 8 features of a head, int8 [token][feature]. It has one RAM word for each of 8 columns:
for keys the features of a token, for values the tokens of a feature.

With C channels, channel c of the keys holds the token blocks c, c + C, c + 2C, ... with all feature blocks. Channel c
of the values holds all token blocks with the feature blocks c, c + C, c + 2C, ... These are the blocks of the channel's
own columns of the array, so two channels never write to the same RAM. In a channel the beats are ordered by layer,
token block and feature block, so the beginning of a layer is one segment.

Example: keys of 2 layers, 32 tokens (4 token blocks) and 32 features (4 feature blocks), in 2 channels. Each channel
holds 2 token blocks, so 8 beats of each layer. Feature block 1 of token block 3 of layer 1 is in channel 1 (3 = 1 * 2 +
1), at the address 1 * 8 + 1 * 4 + 1 = 13.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from amaranth.lib import data

from ..channel import BEAT_BYTES, Request
from ..delay_registers import tree_levels
from ..dsp import CASCADE
from ..resources import Resources
from ..stream import buffer_resources
from .attentionspec import AttentionSpec
from .fetch import FetchSpec
from .kvblocks import BLOCK, KvBlock
from .kvcache import ADDRESS_FAN_IN
from .loadedcache import LoadedCacheSpec

__all__ = ["KvMemorySpec"]


@dataclass(frozen=True, kw_only=True)
class KvMemorySpec:
    """The memory of the keys or values of an attention unit, which reads it through its channels.

    Attributes:
        unit: the attention unit.
        layers: layers of the network.
        latency_cycles: cycles from a request to its first beat.

    Raises:
        ValueError: for a unit without channels, or with features that do not fill blocks.
    """

    unit: AttentionSpec
    layers: int
    latency_cycles: int

    def __post_init__(self) -> None:
        if not self.unit.channels:
            raise ValueError("memory of keys or values must have a unit with channels, not 0")
        if CASCADE % self.unit.lanes_stored:
            raise ValueError(
                f"memory of keys or values must get lanes that divide {CASCADE}, not {self.unit.lanes_stored}"
            )
        if self.layers < 1:
            raise ValueError(f"memory of keys or values must have a layer, not {self.layers}")

    @property
    def banks(self) -> LoadedCacheSpec:
        """Where the words lie in the RAMs."""
        banks = self.unit.banks
        assert isinstance(banks, LoadedCacheSpec)
        return banks

    @property
    def keys(self) -> bool:
        """Whether these are keys, not values."""
        return self.banks.along == "passes"

    @property
    def channels(self) -> int:
        """Memory channels."""
        return self.unit.channels

    @property
    def chunks(self) -> int:
        """Blocks of features of a token, in all heads."""
        return self.unit.heads * self.unit.head_size // BLOCK

    @property
    def blocks(self) -> int:
        """Blocks of tokens of the longest sequence."""
        return ceil(self.unit.max_length / BLOCK)

    @property
    def block_beats(self) -> int:
        """Beats of a token block of a layer in a channel that has it."""
        return self.chunks if self.keys else self.chunks // self.channels

    @property
    def layer_beats(self) -> int:
        """Beats from a layer to the next in each channel."""
        return self.block_beats * (ceil(self.blocks / self.channels) if self.keys else self.blocks)

    @property
    def beats(self) -> int:
        """Beats of each channel."""
        return self.layers * self.layer_beats

    @property
    def shape(self) -> str:
        """The size of the memory in a few words."""
        return f"{self.channels} channels, {self.channels * self.beats * BEAT_BYTES / 1e6:,.1f} MB"

    def own_blocks(self, blocks: int, channel: int) -> int:
        """How many of a sequence's first ``blocks`` token blocks a channel has."""
        return ceil((blocks - channel) / self.channels) if self.keys else blocks

    def cycles(self, tokens: int) -> int:
        """Cycles in which a layer's first ``tokens`` arrive, at one beat per cycle from each channel."""
        return self.own_blocks(ceil(tokens / BLOCK), 0) * self.block_beats

    def bytes_read(self, tokens: int) -> int:
        """Bytes that are read for a layer's first ``tokens``: whole blocks."""
        return ceil(tokens / BLOCK) * self.chunks * BEAT_BYTES

    def place(self, layer: int, block: int, chunk: int) -> tuple[int, int]:
        """Channel and address of a block of tokens and of features."""
        outer, inner = (block, chunk) if self.keys else (chunk, block)
        channel, outer = outer % self.channels, outer // self.channels
        block, chunk = (outer, inner) if self.keys else (inner, outer)
        return channel, layer * self.layer_beats + block * self.block_beats + chunk

    def pack(self, tokens: np.ndarray) -> np.ndarray:
        """The contents of all channels, uint8 [channels, beats, 64], for int8 [layers, tokens, hidden].

        Words after the last token are 0.
        """
        contents = np.zeros((self.channels, self.beats, BEAT_BYTES), dtype=np.uint8)
        padded = np.pad(tokens.astype(np.int8), ((0, 0), (0, -tokens.shape[1] % BLOCK), (0, 0))).view(np.uint8)
        for layer, rows in enumerate(padded):
            for block, chunk in np.ndindex(len(rows) // BLOCK, self.chunks):
                own = rows[block * BLOCK : (block + 1) * BLOCK, chunk * BLOCK : (chunk + 1) * BLOCK]
                contents[self.place(layer, block, chunk)] = own.reshape(-1)
        return contents

    @property
    def fetch(self) -> FetchSpec:
        """The reader of a channel."""
        return FetchSpec(max_beats=self.layer_beats, latency_cycles=self.latency_cycles)

    @property
    def run(self) -> data.StructLayout:
        """A run: whether it begins a text (``restart``), and how many token ``blocks`` the text has at its end."""
        return data.StructLayout({"restart": 1, "blocks": range(self.blocks + 1)})

    @property
    def load_order(self) -> data.StructLayout:
        """An order to load a layer: its number, and how many token ``blocks`` of earlier tokens (0: none)."""
        return data.StructLayout({"layer": range(max(self.layers, 2)), "blocks": range(self.blocks + 1)})

    @property
    def store_order(self) -> data.StructLayout:
        """An order to store a tile: its ``layer``, its number in the sequence (``tile``), the ``rows`` of it that are
        written, and whether it is its layer's ``last``."""
        order = self.banks.order
        layer = {"layer": range(max(self.layers, 2))}
        return data.StructLayout(layer | {name: order[name].shape for name in ("tile", "rows", "last")})

    @property
    def order_cycles(self) -> int:
        """Cycles from an order's arrival until its addresses are computed."""
        widest = max(self.layers.bit_length(), self.blocks.bit_length())
        return tree_levels(widest, ADDRESS_FAN_IN)

    @property
    def load_latency(self) -> int:
        """Cycles from a layer's order to its first block, if its bank is free."""
        return self.order_cycles + 1 + self.fetch.latency + 1

    @property
    def resources(self) -> Resources:
        """BRAM, LUT and FF of loader and storer; LUT and FF are estimates."""
        load = self.fetch.resources + buffer_resources(KvBlock(self.unit.blocks).size, 2) + Resources(lut=40, ff=70)
        # The bits of a stored beat that are not copies: a tile's rows, and a strobe for each token.
        tile = BLOCK * 8 * self.unit.rows
        store = buffer_resources(tile + BLOCK + Request["address"].width, 2) + Resources(lut=30, ff=20)
        pack = buffer_resources(tile, 2) + Resources(lut=200, ff=tile + 150)
        return (load + store) * self.channels + pack
