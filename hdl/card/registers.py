"""The control registers of a kernel as data: the hardware, the kernel's description and the driver follow from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import InputError

__all__ = ["ADDRESS_BITS", "INFORMATION", "VERSION", "Argument", "ControlBits", "Register", "RegisterMap"]

ADDRESS_BITS = 12
"""Bits of a register's byte address."""

ARGUMENTS = 0x10
"""The address of the first argument."""

INFORMATION = 0x200
"""The address of the first register that tells about the design and its runs."""

VERSION = 1
"""The version of this layout of registers; a driver checks it."""


class ControlBits:
    """Places of the bits of register ``control`` (ap_ctrl_chain)."""

    START, DONE, IDLE, READY, CONTINUE, AUTO_RESTART = 0, 1, 2, 3, 4, 7


@dataclass(frozen=True)
class Register:
    """A register: its name, byte address and bits (64 bits are two words, the low one first), and whether the host may
    write it."""

    name: str
    offset: int
    bits: int
    writable: bool
    about: str

    @property
    def words(self) -> Iterator[tuple[int, int]]:
        """The byte address of each 32-bit word, and the place of its lowest bit in the register."""
        return ((self.offset + place // 8, place) for place in range(0, self.bits, 32))


@dataclass(frozen=True)
class Argument:
    """An argument of a run. ``bus``: the AXI4 master whose buffer a pointer of 64 bits points to; none for a number."""

    name: str
    bits: int = 32
    bus: str | None = None


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """The registers of a kernel.

    Attributes:
        arguments: in the order of their addresses.
        counters: names of 64-bit counters. One may change between the reads of its two words: a reader reads the high
            word, the low one, and the high one again, until both high ones are equal.
        design_hash: 64 bits that tell designs from one another.

    Raises:
        InputError: for names that are not unique, widths other than 32 and 64, pointers of 32 bits, and more arguments
            or counters than there are addresses.
    """

    arguments: tuple[Argument, ...]
    counters: tuple[str, ...] = ()
    design_hash: int = 0
    registers: tuple[Register, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = [argument.name for argument in self.arguments] + list(self.counters)
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"registers must have different names, not {name} twice")
        for argument in self.arguments:
            if argument.bits not in (32, 64) or (argument.bus is not None and argument.bits != 64):
                kind = "a number has 32 or 64 bits" if argument.bus is None else "a pointer has 64 bits"
                raise InputError(f"argument {argument.name} must have a valid width ({kind}), not {argument.bits} bits")
        if not 0 <= self.design_hash < 1 << 64:
            raise InputError(f"design hash must have 64 bits, not be {self.design_hash:#x}")
        object.__setattr__(self, "registers", tuple(self._lay_out()))

    def _lay_out(self) -> Iterator[Register]:
        yield Register("control", 0x00, 32, True, "start, done, idle, ready, continue, auto_restart (ap_ctrl_chain)")
        yield Register("interrupt_enable", 0x04, 32, True, "bit 0: the pin interrupt is enabled")
        yield Register("interrupt_sources", 0x08, 32, True, "bit 0: done, bit 1: ready may interrupt")
        yield Register("interrupt_status", 0x0C, 32, True, "bit 0: done, bit 1: ready; writing a 1 toggles the bit")
        offset = ARGUMENTS
        for argument in self.arguments:
            about = "an argument" if argument.bus is None else f"the address of the buffer at {argument.bus}"
            yield Register(argument.name, offset, argument.bits, True, about)
            offset += argument.bits // 8
        if offset > INFORMATION:
            raise InputError(f"arguments must end at address {INFORMATION:#x}, not at {offset:#x}; use fewer")
        yield Register("version", INFORMATION, 32, False, "the version of this layout")
        yield Register("status", INFORMATION + 4, 32, False, "what went wrong since the reset")
        yield Register("design_hash", INFORMATION + 8, 64, False, "tells designs from one another")
        offset = INFORMATION + 16
        for counter in self.counters:
            yield Register(counter, offset, 64, False, "a counter")
            offset += 8
        if offset > 1 << ADDRESS_BITS:
            raise InputError(f"counters must end at address {1 << ADDRESS_BITS:#x}, not at {offset:#x}; use fewer")

    @property
    def pointers(self) -> tuple[str, ...]:
        """The names of the arguments that point to a buffer."""
        return tuple(argument.name for argument in self.arguments if argument.bus is not None)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the arguments that are numbers."""
        return tuple(argument.name for argument in self.arguments if argument.bus is None)

    @property
    def information(self) -> tuple[Register, ...]:
        """The registers from `INFORMATION` on; they follow each other without a gap."""
        return tuple(register for register in self.registers if register.offset >= INFORMATION)

    def __getitem__(self, name: str) -> Register:
        """The register of a name."""
        return next(register for register in self.registers if register.name == name)
