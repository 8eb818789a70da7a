"""Blocks of keys or values: what a beat of memory holds of them, and its way into the RAMs of an array's columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..channel import CHANNEL_BITS
from ..dsp import CASCADE
from ..resources import Resources
from .systolic import SystolicArray

if TYPE_CHECKING:
    from .attention import AttentionSpec

__all__ = ["BLOCK", "Block", "merge_blocks", "merge_resources"]

BLOCK = CASCADE
"""Tokens, and features, of a block: a RAM word's bytes."""


class Block(data.StructLayout):
    """A ``beat`` of 8 tokens x 8 features, int8 [token][feature], and where it goes: the word's ``address``, which
    ``group`` of 8 columns of its channel's, and the ``cascade`` whose RAMs take it."""

    def __init__(self, unit: "AttentionSpec"):
        super().__init__(
            {
                "address": unit.banks.address,
                "group": range(max(unit.columns // BLOCK // unit.channels, 2)),
                "cascade": range(max(unit.cascades, 2)),
                "beat": unsigned(CHANNEL_BITS),
            }
        )


def merge_blocks(
    m: Module, unit: "AttentionSpec", array: SystolicArray, blocks: Sequence[Any], accept: Signal, *, keys: bool
) -> list[Any]:
    """Writes blocks (streams of `Block`, one a channel) into the columns' RAMs, but where new tokens do.

    Returns ports for these, a column each, which they may drive a cycle after ``accept`` only.
    """
    writing = Signal()
    m.d.sync += writing.eq(accept)
    taken = []
    for channel, source in enumerate(blocks):
        block = Signal(Block(unit), name=f"block_{channel}", reset_less=True)
        valid = Signal(name=f"block_{channel}_valid")
        m.d.comb += source.ready.eq(~accept)
        m.d.sync += [block.eq(source.payload), valid.eq(source.valid & source.ready)]
        taken.append((valid, block))
    own = []
    for column, port in enumerate(array.write):
        new = port.signature.create(path=("new", str(column)))
        group, number = divmod(unit.array.feature(column), BLOCK)
        valid, block = taken[group % unit.channels]
        # Of keys a column has a token, of values a feature of all tokens.
        byte = [block.beat.word_select(number * BLOCK + i if keys else i * BLOCK + number, 8) for i in range(BLOCK)]
        here = valid & (block.group == group // unit.channels)
        enable = Cat((here & (block.cascade == p)).replicate(CASCADE) for p in range(unit.cascades))
        m.d.comb += [
            port.address.eq(Mux(writing, new.address, block.address.replicate(unit.cascades))),
            port.data.eq(Mux(writing, new.data, Cat(byte).replicate(unit.cascades))),
            port.enable.eq(Mux(writing, new.enable, enable)),
        ]
        own.append(new)
    return own


def merge_resources(unit: "AttentionSpec") -> Resources:
    """LUT and FF of `merge_blocks`, estimated: a column's choice of data, address and enables."""
    words = unit.cascades * CASCADE
    column = Resources(lut=4 * words + unit.banks.address.width + 4)
    return column * unit.columns + Resources(ff=(Block(unit).size + 1) * unit.channels)
