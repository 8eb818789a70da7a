"""The figures of a systolic array (`systolic`): its sizes, its delays, its cycles and its resources."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from amaranth.hdl import Shape
from amaranth.lib import data

from ..dsp import CASCADE, CASCADE_SUM_BITS, Cascade
from ..ram import RamSpec
from ..resources import Resources
from ..stream import buffer_resources

__all__ = ["ACTIVATION_BITS", "FLAGS", "MAX_TERMS", "ArraySpec", "pass_cycles"]

ACTIVATION_BITS = 8

"""Bits of an activation, and of a weight: int8."""

WIDEST_SUM_BITS = 27
"""Bits of the widest sum: the wider operand of a DSP48E2, which a later unit multiplies by a factor."""

MAX_TERMS = 4096
"""Terms of the longest contraction; a longer one is cut in parts.

4,096 * 128 * 127 is below 2**26, so such sums have 27 bits with their sign.
"""

FLAGS = data.StructLayout({"valid": 1, "first": 1, "last": 1})
"""What accompanies a word: whether there is one, and whether it begins and ends a pass."""


def sum_bits(terms: int) -> int:
    """Bits of a signed sum of ``terms`` products of int8 activations (-128..127) and weights (-127..127)."""
    return (terms * 128 * 127).bit_length() + 1


def pass_cycles(words: int, columns: int, lanes: int) -> int:
    """Cycles of a pass of ``words``; its sums need a cycle for each column of a lane to leave, so it takes no fewer."""
    return max(words, columns // lanes)


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """The size of a systolic array; the figures that follow from it are properties.

    Attributes:
        rows: tokens of a tile: 2, 4 or 8.
        columns: output features (or keys) of a pass.
        cascades: DSP cascades of a column for two rows; each takes 8 terms per cycle.
        lanes: sums of a row in each beat of the output.
        terms: terms of the longest contraction.
        least_words: words of activations of the shortest pass that must run at full pace.
        ram_depth: words of each weight RAM.
        ram_style: "ultra", "block" or "distributed".
        byte_enables: whether each byte of a RAM's word can be written alone.
        word_latency: cycles from the acceptance of a word's offer to the word.

    Raises:
        ValueError: for a geometry that cannot work, with the figure that is wrong.
    """

    rows: int
    columns: int
    cascades: int
    lanes: int
    terms: int
    least_words: int
    ram_depth: int
    ram_style: str = "ultra"
    byte_enables: bool = False
    word_latency: int = 3

    def __post_init__(self) -> None:
        if self.rows not in (2, 4, 8):
            raise ValueError(f"array rows must be 2, 4 or 8, not {self.rows}")
        if self.columns < 1 or not 1 <= self.cascades <= 8:
            raise ValueError(f"array must have a column and 1 to 8 cascades, not {self.columns} and {self.cascades}")
        if self.lanes < 1 or self.columns % self.lanes:
            raise ValueError(f"array lanes must divide its {self.columns} columns, not {self.lanes}")
        if sum_bits(self.terms) > WIDEST_SUM_BITS:
            raise ValueError(f"array contraction must have at most {MAX_TERMS} terms, not {self.terms}")

    @property
    def depth(self) -> int:
        """Terms that each row of each column adds per cycle, D."""
        return self.cascades * CASCADE

    @property
    def chain(self) -> int:
        """Columns that share a lane of the output: the length of their chain, and the beats of a pass."""
        return self.columns // self.lanes

    @property
    def sum_bits(self) -> int:
        """Width of a sum; no wrapping is possible."""
        return sum_bits(self.terms)

    @property
    def shape(self) -> str:
        """Rows x columns x depth."""
        return f"{self.rows} x {self.columns} x {self.depth}"

    @property
    def macs(self) -> int:
        """Multiplications per cycle."""
        return self.rows * self.columns * self.depth

    @property
    def ram(self) -> RamSpec:
        """The weight RAM of one cascade."""
        return RamSpec(8 * CASCADE, self.ram_depth, self.ram_style, 8 if self.byte_enables else 0)

    @property
    def address_bits(self) -> int:
        """Bits of a RAM's address."""
        return Shape.cast(range(max(self.ram_depth, 2))).width

    @property
    def entry_delay(self) -> int:
        """Cycles from the acceptance of a word to column 0: a register at the array's edge, and the column's own.

        A word that comes late from its buffer takes more (`activation_delay` must not be negative).
        """
        return max(2, self.word_latency + 1 - self.ram.latency)

    @property
    def read_delay(self) -> int:
        """Cycles from the acceptance of a read address until the RAM of the last column has read it."""
        return self.entry_delay + self.columns

    @property
    def activation_delay(self) -> int:
        """Cycles for which the edge delays the first byte of each word of activations.

        The column adds a register of its own, so the byte meets its weight, which the RAM reads for a word in the
        column at `entry_delay`.
        """
        return self.entry_delay + self.ram.latency - 1 - self.word_latency

    @cached_property
    def sum_delay(self) -> int:
        """Cycles from a word's address in a column to the column's sum of that word's terms."""
        cascades_added = 1 if self.cascades > 1 else 0
        return self.ram.latency + Cascade.latency + cascades_added

    def summed(self, column: int) -> int:
        """Cycles from the acceptance of a word to its sum in a column; words move by one column per cycle."""
        return self.entry_delay + column + self.sum_delay

    @property
    def flags_delay(self) -> int:
        """Cycles for which the edge delays the flags: they reach column 0's register together with the word's sum."""
        return self.summed(0) - 1

    def finished(self, column: int) -> int:
        """Cycles from the acceptance of a pass's last word until the register ``finished`` of a column has its sums."""
        accumulated, copied = 1, 1
        return self.summed(column) + accumulated + copied

    def load_delay(self, lane: int) -> int:
        """Cycles from the acceptance of a pass's last word to the strobe that loads a lane's chain.

        The columns register the strobe, and use it when the last of them has finished.
        """
        last_column = (lane + 1) * self.chain - 1
        return self.finished(last_column) - 1

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a pass's last word to the acceptance of its first beat of sums, no stalls."""
        chain_loaded, through_fifo = 1, 1
        return self.finished(self.columns - 1) + chain_loaded + through_fifo

    @property
    def passes_in_flight(self) -> int:
        """Passes for which the output FIFO has room: those that start before the first has left, so that none waits."""
        return ceil((self.latency + self.chain + 2) / self.pass_cycles(self.least_words)) + 1

    def pass_cycles(self, words: int) -> int:
        """Cycles of a pass of ``words``; its sums need ``chain`` cycles to leave, so it takes no fewer."""
        return pass_cycles(words, self.columns, self.lanes)

    @property
    def fifo_depth(self) -> int:
        """Beats of the output FIFO."""
        return max(self.chain * self.passes_in_flight, 2)

    def feature(self, column: int) -> int:
        """The number of the feature that a column computes in each pass.

        Lane l has the columns l * ``chain`` and on, whose sums leave in this order, one per beat. The features are
        dealt so that the lanes of a beat are consecutive: with 6 columns and 2 lanes, the columns 0, 1, 2 (lane 0)
        compute the features 0, 2, 4, and the columns 3, 4, 5 (lane 1) the features 1, 3, 5.
        """
        return (column % self.chain) * self.lanes + column // self.chain

    @property
    def column_resources(self) -> Resources:
        """DSPs, RAMs, LUT and FF of one column; LUT and FF are estimates."""
        sums, adders = self.rows * self.sum_bits, self.rows * (CASCADE_SUM_BITS + 1) * (self.cascades - 1)
        # The bytes of a weight wait 0 to 7 cycles: 1 or 2 in flip-flops, 3 and more in shift-register LUTs.
        skew = Resources(lut=5 * 8, ff=(1 + 2) * 8) * self.cascades
        wave = self.rows * self.depth * ACTIVATION_BITS + self.ram_depth.bit_length() + FLAGS.size
        totals = self.rows * (CASCADE_SUM_BITS + 2) if adders else 0
        cascades = Cascade.resources * (self.rows // 2 * self.cascades)
        write = self.cascades * (8 * CASCADE + self.address_bits + (CASCADE if self.byte_enables else 1))
        own = Resources(lut=2 * sums + adders + 12, ff=wave + write + 3 * sums + totals + self.rows + 2)
        return cascades + self.ram.resources * self.cascades + skew + own

    @property
    def resources(self) -> Resources:
        """DSPs, RAMs, LUT and FF of the whole array; LUT and FF are estimates."""
        bits = self.rows * self.depth * ACTIVATION_BITS
        # The edge delays the bytes of each word; 3 cycles and more are in shift-register LUTs.
        edge = Resources(lut=bits + 60, ff=bits // CASCADE + self.ram_depth.bit_length() + 120)
        fifo = buffer_resources(self.rows * self.sum_bits, self.fifo_depth) * self.lanes
        return self.column_resources * self.columns + fifo + edge
