"""The primitives of an UltraScale+ FPGA as a timing analysis sees them: paths through a cell, and delays.

The delays are a model, not a calibration: they have the order of size that public reports of Vivado give for
UltraScale+ parts (clock to output 0.09 ns, LUT 0.04 to 0.18 ns, into a carry chain 0.18 to 0.25 ns, 0.03 ns for each 8
bits of it), with a net that is longer than the 0.2 to 0.27 ns that those reports assume before placement. Distance
counts for nothing yet.
"""

import re
from collections.abc import Callable, Iterator
from math import log2
from typing import NamedTuple

from .netlist import Bit, Cell

__all__ = ["CLOCK_TO_OUTPUT", "SETUP", "Arc", "arcs", "clock_to_output", "net_delay", "role", "setup"]

LUT = 0.15
MUX = 0.08  # MUXF7, MUXF8: in the slice of their LUTs
CARRY_IN = 0.2  # from a LUT into a chain, and out of it
CARRY = 0.015  # four bits of a chain
MULTIPLIER = 1.9  # a DSP48E2 between the registers that a synthesiser moves into it
CLOCK_TO_OUTPUT = {"FD": 0.09, "SRL": 0.3, "RAMB": 0.9, "URAM": 0.9, "DSP": 0.3}
SETUP = 0.03

MULTIPLIER_LEVELS = 4
"""Levels of LUTs that take as long as a DSP48E2 without registers."""

NET, NET_DOUBLED = 0.25, 0.05
"""ns of a net with one load, and more for each time that its loads double."""


def net_delay(loads: int) -> float:
    """ns from a driver to the farthest of its loads."""
    return NET + NET_DOUBLED * log2(max(loads, 1))


class Arc(NamedTuple):
    """A path from a bit into a cell to one out of it."""

    source: Bit
    levels: int
    delay: float
    inside: bool = False
    """The net into the cell is within a slice: it takes no time."""


_MEMORY = re.compile(r"RAM(32M|64M|32M16|64M8|(32|64|128|256)X1[DS])")
"""RAMs of LUTs."""

_CLOCKED = ("FD", "SRL", "RAMB", "URAM")
_CLOCKS = re.compile(r"C|W?CLK|CLK\w+CLK|clk")


def role(cell: Cell, pin: str) -> str:
    """The role of an input pin: clock, clock enable, reset or data. The port's name decides the role for a module."""
    if _CLOCKS.fullmatch(pin):
        return "clock"
    if cell.type.startswith("FD"):
        return {"CE": "enable", "D": "data"}.get(pin, "reset")
    if cell.type.startswith((*_CLOCKED, "DSP")):
        return "enable" if pin.startswith(("CE", "EN")) else "reset" if pin.startswith("RST") else "data"
    return "reset" if pin == "rst" else "data"


def clock_to_output(cell: Cell) -> float | None:
    """ns from the clock to a cell's outputs; None where these do not come from registers."""
    kind = cell.type
    for family in ("FD", "SRL", "RAMB", "URAM"):
        if kind.startswith(family):
            return CLOCK_TO_OUTPUT[family]
    if kind == "DSP48E2" and cell.registers:
        return CLOCK_TO_OUTPUT["DSP"]
    return None


def setup(cell: Cell, pin: str) -> float | None:
    """ns that an input must come before the clock; None where no register takes it."""
    if role(cell, pin) == "clock":
        return None
    if cell.type.startswith(_CLOCKED) and not (cell.type.startswith("SRL") and pin.startswith("A")):
        return SETUP
    if cell.type == "DSP48E2" and cell.registers:
        return SETUP
    if _MEMORY.fullmatch(cell.type):
        return SETUP if pin.startswith(("D", "W")) or pin == _write_address(cell) else None
    return None


def arcs(cell: Cell, pin: str, index: int, is_lut: Callable[[Bit], bool]) -> Iterator[Arc]:
    """The paths to a bit of an output. ``is_lut``: whether a LUT drives a bit.

    Raises:
        ValueError: for a type of cell that is not known.
    """
    kind, pins = cell.type, cell.inputs
    if kind.startswith("LUT") or kind == "INV":
        yield from (Arc(bits[0], 1, LUT) for bits in pins.values())
    elif kind in ("MUXF7", "MUXF8", "MUXF9"):
        yield from (Arc(pins[name][0], 0, MUX, name != "S") for name in ("I0", "I1", "S"))
    elif kind in ("CARRY4", "CARRY8"):
        yield from _carry(cell, index, pin == "O", is_lut)
    elif _MEMORY.fullmatch(kind):
        yield from (Arc(bit, 1, LUT) for bit in _read_address(cell, pin))
    elif kind.startswith("SRL"):
        yield from (Arc(bit, 1, LUT) for name, bits in pins.items() if name.startswith("A") for bit in bits)
    elif kind == "DSP48E2":
        bits = () if cell.registers else (bit for bits in pins.values() for bit in bits)
        yield from (Arc(bit, MULTIPLIER_LEVELS, MULTIPLIER) for bit in dict.fromkeys(bits))
    elif kind == "BUFG":
        yield Arc(pins["I"][0], 0, 0.0)
    elif not kind.startswith(_CLOCKED):
        raise ValueError(f"a cell of type {kind} cannot be timed: it is no known primitive")


def _carry(cell: Cell, index: int, is_sum: bool, is_lut: Callable[[Bit], bool]) -> Iterator[Arc]:
    """A chain counts as one level, however long. Its select inputs come from LUTs in the same slice; another source
    takes a LUT to get there. Yosys writes CARRY4, two of which are a CARRY8 of the silicon."""
    pins, bits = cell.inputs, 4 if cell.type == "CARRY4" else 8
    for select in pins["S"][: index + 1]:
        yield Arc(select, 1, CARRY_IN, True) if is_lut(select) else Arc(select, 2, LUT + CARRY_IN)
    yield from (Arc(bit, 1, CARRY_IN) for bit in pins["DI"][: index + (not is_sum)])
    yield from (Arc(bit, 1, CARRY_IN) for bit in pins.get("CYINIT", []))
    yield Arc(pins["CI"][0], 0, CARRY * bits / 4, True)


def _read_address(cell: Cell, pin: str) -> list[Bit]:
    """The address of an output of a RAM of LUTs."""
    name = {"DPO": "DPRA", "SPO": "A", "O": "A"}.get(pin, f"ADDR{pin[2:]}")
    return [bit for one, bits in cell.inputs.items() if one.rstrip("0123456789") == name for bit in bits]


def _write_address(cell: Cell) -> str:
    """The address pin that a write takes, where only it has an address of its own."""
    return max((pin for pin in cell.inputs if pin.startswith("ADDR")), default="")
