"""What joins the units of a layer, and the resources that it takes."""

from collections.abc import Mapping
from typing import Protocol

from ...channel import CHANNEL_BITS
from ...kernels.parameters import RowFactor
from ...resources import Resources
from ...stream import buffer_resources
from .section import Section

__all__ = ["joint_resources"]

OTHER_ORDER_READERS = 7
"""Units that take an order for each layer, beside the linear units: attention's three, activation, entry, exit,
parameters."""


class Joined(Protocol):
    """What the joints of a pipeline's units depend on: see `PipelineSpec`."""

    @property
    def rows(self) -> int: ...
    @property
    def lanes(self) -> int: ...
    @property
    def max_tiles(self) -> int: ...
    @property
    def sections(self) -> Mapping[str, Section]: ...
    @property
    def products(self) -> tuple[str, ...]: ...


def joint_resources(spec: Joined, order_bits: int, heads_in_sums: int) -> Resources:
    """What joins the units: the buffers of all parameters, orders of so many bits, the buffers between units, and so
    many heads' reciprocals in front of the weighted sums."""
    parameters = spec.sections["layer"].parameters
    blocks = [block for block in parameters if not block.table]
    beat, factors = spec.rows * spec.lanes * 16, spec.rows * RowFactor.size
    buffers = [
        *[(order_bits, 2)] * (len(spec.products) + OTHER_ORDER_READERS),
        *[(spec.max_tiles.bit_length(), 2)] * len(parameters),
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
