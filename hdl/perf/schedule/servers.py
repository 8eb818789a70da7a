"""What serves pieces of work in order: the one idea of all cycle counts, and two of its kinds.

A unit takes a piece as soon as it is there and the one before is done, so when pieces are done follows in one running
maximum from when they were there.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import numpy as np

from ..geometry.parameter_blocks import ParameterBlock

__all__ = ["BUFFER", "LONG_AGO", "ParameterServer", "Server"]

BUFFER = 1
"""Cycles that a `StreamBuffer` takes, and the end of a `Pack` or `Unpack`."""

LONG_AGO = -(1 << 40)
"""When something was there that is never waited for."""


TABLE_WORDS_WAITING = 2
"""Cycles by which a channel is through with a table's words before the table is."""


class Server:
    """What serves pieces of work in order, the first not before ``start``."""

    def __init__(self, start: int = LONG_AGO):
        self.last = start

    def ends(self, earliest: np.ndarray, cycles: int | np.ndarray) -> np.ndarray:
        """When pieces end that would, with nothing before them, end at ``earliest`` (of any shape, in order), each of
        which takes so many ``cycles``; or as many each as an array of them says."""
        behind = np.cumsum(np.broadcast_to(cycles, earliest.shape))
        waited = np.maximum.accumulate(earliest.reshape(-1) - behind)
        ends = np.maximum(waited, self.last) + behind
        self.last = int(ends[-1])
        return np.asarray(ends.reshape(earliest.shape))


class ParameterServer:
    """The channel of parameters: ``width`` words a cycle, block by block, each once the layer before the last lets its
    own go. ``tables`` says by name what is loaded as a whole, in how many cycles; it is there a cycle later."""

    def __init__(
        self, blocks: Sequence[ParameterBlock], start: int, *, max_tiles: int, tables: Mapping[str, int], width: int = 1
    ):
        self.blocks, self.width, self.tables, self.next = blocks, width, tables, start
        # Where the channel is wider than a block's beats, its words are cut first.
        self.latency = {
            block.name: block.replay(max_tiles, width).latency + BUFFER * (block.lanes < width)
            for block in blocks
            if not block.table
        }
        self.free: dict[str, list[int]] = {block.name: [LONG_AGO, LONG_AGO] for block in blocks}

    def layer(self) -> dict[str, np.ndarray]:
        """When each beat of each block is there for its unit; a table as a whole."""
        there = {}
        for block in self.blocks:
            begins = max(self.next, self.free[block.name][-2]) + BUFFER
            pieces = ceil(block.words / self.width)
            if (loading := self.tables.get(block.name)) is not None:
                # Where the channel is wider, a table is cut in words on its way. Its last words wait in buffers.
                cut = BUFFER if self.width > 1 else 0
                ends = int(self.dealt(begins, pieces, loading // pieces)[-1]) + loading // pieces
                there[block.name] = np.array([ends + cut + 1])
                self.next = ends - BUFFER - TABLE_WORDS_WAITING
            else:
                dealt = self.dealt(begins, pieces, max(self.width // block.lanes, 1))
                piece, word = np.divmod(np.arange(1, block.words // block.lanes + 1) * block.lanes - 1, self.width)
                left = dealt[piece] + word // min(block.lanes, self.width) * (block.lanes < self.width)
                there[block.name] = left + self.latency.get(block.name, 0)
                self.next = int(left[-1]) + 1 - BUFFER
        return there

    def dealt(self, begins: int, pieces: int, cycles: int) -> np.ndarray:
        """When ``pieces`` of ``width`` words, which take so many cycles each, are dealt out from ``begins`` on."""
        return begins + np.arange(pieces) * cycles

    def taken(self, name: str, when: int) -> None:
        """A layer's last tile begins to take a block (or is through with a table) at this time."""
        self.free[name].append(when)

    @property
    def state(self) -> Iterable[int]:
        """All times that the next layers depend on."""
        return [self.next, *(time for times in self.free.values() for time in times[-2:])]
