"""Blocks of keys or values: how a beat of off-chip memory gets into the RAMs of an array's columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..resources import Resources
from .systolic import SystolicArray

__all__ = ["BLOCK", "KvBlock", "KvBlockSpec", "merge_blocks"]

BLOCK = CASCADE
"""Tokens, and features, of a block: the bytes of a RAM's word."""


@dataclass(frozen=True, kw_only=True)
class KvBlockSpec:
    """Blocks for an array of ``columns`` x ``cascades``, whose RAMs have addresses of the shape ``address``.

    The columns are in groups of 8, one for each block of tokens (``keys``) or features (values). The groups are dealt
    to the ``channels`` in turn, so each channel has its own columns.
    """

    columns: int
    cascades: int
    channels: int
    address: Shape
    keys: bool

    @property
    def channel_groups(self) -> int:
        """Groups of 8 columns of each channel."""
        return self.columns // BLOCK // self.channels

    def byte(self, column: int, i: int) -> int:
        """The byte of a block that is byte i of the word for column ``column`` of a group.

        Blocks are [token][feature]. A column of keys holds a token, one of values a feature: byte 1 of column 2 is
        token 2, feature 1 (byte 17) or token 1, feature 2 (byte 10).
        """
        token, feature = (column, i) if self.keys else (i, column)
        return token * BLOCK + feature

    @property
    def merge_resources(self) -> Resources:
        """LUT and FF of `merge_blocks`, estimated: a choice of data, address and enables for each column."""
        column = Resources(lut=4 * self.cascades * CASCADE + self.address.width + 4)
        return column * self.columns + Resources(ff=(KvBlock(self).size + 1) * self.channels)


class KvBlock(data.StructLayout):
    """A ``beat`` of 8 tokens x 8 features, int8 [token][feature], and where it goes: the ``address`` of the word, the
    ``group`` of the channel's columns, and the ``cascade`` whose RAMs take it."""

    def __init__(self, spec: KvBlockSpec):
        super().__init__(
            {
                "address": spec.address,
                "group": range(max(spec.channel_groups, 2)),
                "cascade": range(max(spec.cascades, 2)),
                "beat": unsigned(CHANNEL_BITS),
            }
        )


def merge_blocks(
    m: Module, spec: KvBlockSpec, array: SystolicArray, blocks: Sequence[Any], accept: Signal
) -> Sequence[Any]:
    """Writes blocks (streams of `KvBlock`, one for each channel) into the columns' RAMs; new tokens go first.

    Returns write ports for the new tokens, one for each column. They may be driven only a cycle after ``accept``, in
    which no block is taken.
    """
    writing = Signal()
    m.d.sync += writing.eq(accept)
    taken = []
    for channel, source in enumerate(blocks):
        block = Signal(KvBlock(spec), name=f"block_{channel}", reset_less=True)
        valid = Signal(name=f"block_{channel}_valid")
        m.d.comb += source.ready.eq(~accept)
        m.d.sync += [block.eq(source.payload), valid.eq(source.valid & source.ready)]
        taken.append((valid, block))
    ports = []
    for column, port in enumerate(array.write):
        new = port.signature.create(path=("new", str(column)))
        group, number = divmod(array.spec.feature(column), BLOCK)
        valid, block = taken[group % spec.channels]
        word = Cat(block.beat.word_select(spec.byte(number, i), 8) for i in range(BLOCK))
        here = valid & (block.group == group // spec.channels)
        enable = Cat((here & (block.cascade == p)).replicate(CASCADE) for p in range(spec.cascades))
        m.d.comb += [
            port.address.eq(Mux(writing, new.address, block.address.replicate(spec.cascades))),
            port.data.eq(Mux(writing, new.data, word.replicate(spec.cascades))),
            port.enable.eq(Mux(writing, new.enable, enable)),
        ]
        ports.append(new)
    return ports
