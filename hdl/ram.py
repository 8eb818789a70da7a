"""RAMs of a style: block RAM, UltraRAM, or LUTs."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .delay_registers import KEEP
from .hierarchy import place
from .resources import Resources, ram_blocks
from .stream import SLICE_BITS, pieces

__all__ = ["BLOCK_DEPTH", "Ram", "RamSpec", "RegisteredRam", "RegisteredRamSpec", "small_style"]

BLOCK_DEPTH = {"ultra": 4096, "block": 4096, "distributed": 1 << 16}
"""The most words of a single RAM of each style. A deeper RAM consists of several, with a register after the
multiplexer."""

SELECT_BITS = 16
"""Bits of a RAM of up to `SELECT_BANKS` single RAMs that share registers of the select, because each drives several
LUTs for a bit."""

SELECT_BANKS = 12

DISTRIBUTED_WORDS = 64
"""RAMs of up to so many words are built of LUTs."""


def small_style(depth: int) -> str:
    """The style of a RAM that need not be URAM."""
    return "distributed" if depth <= DISTRIBUTED_WORDS else "block"


@dataclass(frozen=True)
class RamSpec:
    """A simple dual-port RAM of ``depth`` words of ``width`` bits.

    It is written in groups of ``granularity`` bits; by default in whole words.

    Raises:
        ValueError: for an unknown style, or a width that is no multiple of the granularity.
    """

    width: int
    depth: int
    style: str
    granularity: int = 0

    def __post_init__(self) -> None:
        if self.style not in BLOCK_DEPTH:
            raise ValueError(f"RAM style must be ultra, block or distributed, not {self.style!r}")
        object.__setattr__(self, "granularity", self.granularity or self.width)
        if self.width < 1 or self.depth < 1 or self.width % self.granularity:
            size = f"{self.width} bits x {self.depth} words"
            raise ValueError(f"RAM must have whole groups of {self.granularity} bits and words, not {size}")

    @property
    def blocks(self) -> "list[RamSpec]":
        """The single RAMs that follow each other in depth."""
        full = BLOCK_DEPTH[self.style]
        return [replace(self, depth=min(self.depth - start, full)) for start in range(0, self.depth, full)]

    @property
    def latency(self) -> int:
        """Cycles from an address to its data."""
        return 2 if len(self.blocks) == 1 else 3

    @property
    def resources(self) -> Resources:
        """RAMs, the multiplexer of a deep one, and registers as Yosys maps them (Vivado finds them in the RAM)."""
        # LUTs have no output register of their own.
        registers = Resources(ff=self.width * (2 if self.style == "distributed" else 1))
        total = sum((ram_blocks(self.width, block.depth, self.style) + registers for block in self.blocks), Resources())
        banks = len(self.blocks)
        return total if banks == 1 else total + Resources(lut=self.width * ceil(banks / 3), ff=self.width)

    @property
    def members(self) -> dict[str, Any]:
        """The members of `Ram` and `RamBlock`."""
        address = range(max(self.depth, 2))
        return {
            "write_enable": In(self.width // self.granularity),
            "write_address": In(address),
            "write_data": In(self.width),
            "read_address": In(address),
            "read_data": Out(self.width),
        }


class RamBlock(wiring.Component):
    """A single RAM: a write port with an enable for each group of bits, a read port of two cycles (array, register)."""

    def __init__(self, spec: RamSpec):
        self.spec = spec
        super().__init__(spec.members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.memory = memory = Memory(
            shape=unsigned(spec.width), depth=spec.depth, init=[], attrs={"ram_style": spec.style}
        )
        write = memory.write_port(granularity=None if spec.granularity == spec.width else spec.granularity)
        read = memory.read_port()
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
            read.addr.eq(self.read_address),
        ]
        output = Signal(spec.width, reset_less=True)
        m.d.sync += output.eq(read.data)
        m.d.comb += self.read_data.eq(output)
        return m


class Ram(wiring.Component):
    """A simple dual-port RAM of any depth. It reads one address per cycle; the data follows `RamSpec.latency` later.

    A word that is read in the cycle in which it is written gives its old content, as BRAM in read-first mode does, and
    URAM whose read port comes first. Contents are undefined until written. Members: ``write_enable`` (a bit for each
    group of ``granularity`` bits), ``write_address``, ``write_data``, ``read_address``, ``read_data``.
    """

    def __init__(self, width: int, depth: int, style: str, granularity: int = 0):
        self.spec = RamSpec(width, depth, style, granularity)
        super().__init__(self.spec.members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        banks, low = len(spec.blocks), BLOCK_DEPTH[spec.style].bit_length() - 1
        outputs = []
        for bank, block_spec in enumerate(spec.blocks):
            block = RamBlock(block_spec)
            m.submodules[f"bank_{bank}"] = place(platform, block)
            here = 1 if banks == 1 else self.write_address[low:] == bank
            m.d.comb += [
                block.write_enable.eq(Mux(here, self.write_enable, 0)),
                block.write_address.eq(self.write_address),
                block.write_data.eq(self.write_data),
                block.read_address.eq(self.read_address),
            ]
            outputs.append(block.read_data)
        if banks == 1:
            m.d.comb += self.read_data.eq(outputs[0])
        else:
            selected = Signal(range(banks), reset_less=True)
            m.d.sync += selected.eq(self.read_address[low:])
            chosen = Signal(spec.width, reset_less=True)
            for part in pieces(spec.width, max(SELECT_BITS // ceil(banks / SELECT_BANKS), 1)):
                selected_late = Signal(range(banks), name=f"selected_{part.start}", reset_less=True, attrs=KEEP)
                m.d.sync += selected_late.eq(selected)
                with m.Switch(selected_late):
                    for bank, value in enumerate(outputs):
                        with m.Case(bank):
                            m.d.sync += chosen[part].eq(value[part])
            m.d.comb += self.read_data.eq(chosen)
        return m


@dataclass(frozen=True)
class RegisteredRamSpec:
    """RAMs that take all their inputs from registers, so that none of these drives much.

    A word of ``width`` bits has ``groups`` equal parts, which are written alone. All of them take the same data.

    Raises:
        ValueError: as `RamSpec`, and for groups that do not divide the width.
    """

    width: int
    depth: int
    style: str
    groups: int = 1

    def __post_init__(self) -> None:
        if self.groups < 1 or self.width % self.groups:
            raise ValueError(f"RAM groups must divide its {self.width} bits, not {self.groups}")
        _ = self.rams

    @property
    def group_bits(self) -> int:
        """Bits of a group."""
        return self.width // self.groups

    @property
    def cuts(self) -> list[slice]:
        """The bits of each RAM of a group. An address bit drives each LUT RAM of 6 or 7 bits, but only a few block
        RAMs."""
        return pieces(self.group_bits, SLICE_BITS if self.style == "distributed" else self.group_bits)

    @property
    def rams(self) -> list[RamSpec]:
        """The RAMs of a group."""
        return [RamSpec(cut.stop - cut.start, self.depth, self.style) for cut in self.cuts]

    @property
    def latency(self) -> int:
        """Cycles from an address to its data."""
        return 1 + self.rams[0].latency

    @property
    def resources(self) -> Resources:
        """The RAMs and the registers of their inputs."""
        address = (max(self.depth, 2) - 1).bit_length()
        group = sum((ram.resources + Resources(ff=2 * address + 1) for ram in self.rams), Resources())
        return group * self.groups + Resources(ff=self.group_bits)


class RegisteredRam(wiring.Component):
    """RAMs of registered inputs. It reads one address per cycle; the data follows `RegisteredRamSpec.latency` later.

    A write is made one cycle after it was given. Members: ``write_enable`` (a bit for each group), ``write_address``,
    ``write_data`` (of a group), ``read_address``, ``read_data``.
    """

    def __init__(self, spec: RegisteredRamSpec):
        self.spec = spec
        address = range(max(spec.depth, 2))
        super().__init__(
            {
                "write_enable": In(spec.groups),
                "write_address": In(address),
                "write_data": In(spec.group_bits),
                "read_address": In(address),
                "read_data": Out(spec.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        given = Signal(spec.group_bits, reset_less=True)
        m.d.sync += given.eq(self.write_data)
        words = []
        for group in range(spec.groups):
            for number, (ram_spec, cut) in enumerate(zip(spec.rams, spec.cuts, strict=True)):
                ram = Ram(ram_spec.width, ram_spec.depth, ram_spec.style)
                m.submodules[f"ram_{group}_{number}"] = place(platform, ram)
                # Equal registers of several RAMs must not be merged into one.
                names = (f"{what}_{group}_{number}" for what in ("enable", "written", "read"))
                enable = Signal(name=next(names), attrs=KEEP)
                written = Signal.like(ram.write_address, name=next(names), reset_less=True, attrs=KEEP)
                read = Signal.like(ram.read_address, name=next(names), reset_less=True, attrs=KEEP)
                m.d.sync += [
                    enable.eq(self.write_enable[group]),
                    written.eq(self.write_address),
                    read.eq(self.read_address),
                ]
                m.d.comb += [
                    ram.write_enable.eq(enable),
                    ram.write_address.eq(written),
                    ram.write_data.eq(given[cut]),
                    ram.read_address.eq(read),
                ]
                words.append(ram.read_data)
        m.d.comb += self.read_data.eq(Cat(words))
        return m
