"""The parameters of a layer: blocks in the order of their channel, replay buffers, and what else joins the units."""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple, Protocol

from ...channel import CHANNEL_BITS
from ...kernels.parameters import RowFactor
from ...memory import ReplaySpec
from ...resources import Resources
from ...stream import buffer_resources

__all__ = [
    "PARAMETER_WORDS_A_BEAT",
    "ParameterBlock",
    "blocks_beats",
    "joint_resources",
    "padded",
]

PARAMETER_WORDS_A_BEAT = CHANNEL_BITS // 64

OTHER_ORDER_READERS = 7
"""Units that take an order for each layer, beside the linear units: attention's three, activation, entry, exit,
parameters."""


class ParameterBlock(NamedTuple):
    """A kernel's parameters of a layer: 64-bit ``words``, read ``lanes`` a beat; a table is loaded once, others
    replayed a tile."""

    name: str
    words: int
    lanes: int
    table: bool = False

    def replay(self, max_tiles: int) -> ReplaySpec:
        """Its replay buffer: two layers, so that the one channel never waits for a unit behind."""
        beats = self.words // self.lanes
        return ReplaySpec(64 * self.lanes, 2 * beats, "block" if beats > 32 else "distributed", max_tiles)


def padded(block: ParameterBlock, width: int) -> int:
    """Words of a block where each begins with a whole ``width`` of words."""
    return ceil(block.words / width) * width


def blocks_beats(blocks: Iterable[ParameterBlock], width: int) -> int:
    """Beats of the parameter channel that blocks take."""
    return ceil(sum(padded(block, width) for block in blocks) / PARAMETER_WORDS_A_BEAT)


class Joined(Protocol):
    """What the joints of a pipeline's units depend on: see `PipelineSpec`."""

    @property
    def rows(self) -> int: ...
    @property
    def lanes(self) -> int: ...
    @property
    def max_tiles(self) -> int: ...
    @property
    def parameters(self) -> tuple[ParameterBlock, ...]: ...
    @property
    def products(self) -> tuple[str, ...]: ...


def joint_resources(spec: Joined, order_bits: int, heads_in_sums: int) -> Resources:
    """What joins the units: the buffers of all parameters, orders of so many bits, the buffers between units, and so
    many heads' reciprocals in front of the weighted sums."""
    blocks = [block for block in spec.parameters if not block.table]
    beat, factors = spec.rows * spec.lanes * 16, spec.rows * RowFactor.size
    buffers = [
        *[(order_bits, 2)] * (len(spec.products) + OTHER_ORDER_READERS),
        *[(spec.max_tiles.bit_length(), 2)] * len(spec.parameters),
        *[(64 * block.lanes, 2) for block in blocks],
        (CHANNEL_BITS, 2),
        *[(factors, 4)] * len(spec.products),
        (factors, heads_in_sums),
        *[(beat, 2)] * 6,  # two forks, and the exit
        *[(beat // 2, 2)] * 3,  # keys, values, queries
    ]
    replays = sum((block.replay(spec.max_tiles).resources for block in blocks), Resources())
    dealing = Resources(lut=3 * 64 + 12 * len(blocks), ff=16)
    return sum((buffer_resources(*buffer) for buffer in buffers), replays + dealing)
