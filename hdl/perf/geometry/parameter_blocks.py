"""Blocks of parameters, in the order of their channel, and their replay buffers."""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from ...channel import CHANNEL_BITS
from ...memory import ReplaySpec

__all__ = [
    "PARAMETER_WORDS_A_BEAT",
    "ParameterBlock",
    "blocks_beats",
    "padded",
]

PARAMETER_WORDS_A_BEAT = CHANNEL_BITS // 64


class ParameterBlock(NamedTuple):
    """A kernel's parameters of a layer: 64-bit ``words``, read ``lanes`` a beat; a table is loaded once, others
    replayed a tile."""

    name: str
    words: int
    lanes: int
    table: bool = False

    def replay(self, max_tiles: int, width: int = 1) -> ReplaySpec:
        """Its replay buffer: two layers, so that the one channel never waits for a unit that is a layer behind.

        The words come ``width`` at a time.
        """
        beats, groups = self.words // self.lanes, max(self.lanes // width, 1)
        style = "block" if beats > 32 else "distributed"
        return ReplaySpec(64 * self.lanes, 2 * beats, style, max_tiles, groups=groups)


def padded(block: ParameterBlock, width: int) -> int:
    """Words of a block where each begins with a whole ``width`` of words."""
    return ceil(block.words / width) * width


def blocks_beats(blocks: Iterable[ParameterBlock], width: int) -> int:
    """Beats of the parameter channel that blocks take."""
    return ceil(sum(padded(block, width) for block in blocks) / PARAMETER_WORDS_A_BEAT)
