"""RAMs of a style, and the replay buffer, which is the principle of every memory of the accelerator.

A replay buffer is a FIFO whose content is read several times in the same order. During the last reading its words are
released one by one, so that the next content follows at once; two buffers in turn would need room for both contents.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .hierarchy import place
from .resources import Resources, ram_blocks
from .stream import PipelineBuffer, connect, pipeline_resources

__all__ = [
    "BLOCK_DEPTH",
    "Ram",
    "RamSpec",
    "ReplayBuffer",
    "ReplayControl",
    "ReplayOrder",
    "ReplaySpec",
    "small_style",
]

BLOCK_DEPTH = {"ultra": 4096, "block": 4096, "distributed": 1 << 16}
"""The most words of a single RAM of each style. A deeper RAM consists of several, with a register after the
multiplexer."""

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
            selected_late = Signal(range(banks), reset_less=True)
            m.d.sync += [selected.eq(self.read_address[low:]), selected_late.eq(selected)]
            chosen = Signal(spec.width, reset_less=True)
            with m.Switch(selected_late):
                for bank, value in enumerate(outputs):
                    with m.Case(bank):
                        m.d.sync += chosen.eq(value)
            m.d.comb += self.read_data.eq(chosen)
        return m


class ReplayOrder(data.StructLayout):
    """An order of a replay buffer: its next ``length`` words are read ``repeat`` times (both at least 1)."""

    def __init__(self, max_length: int, max_repeat: int):
        super().__init__({"length": unsigned(max_length.bit_length()), "repeat": unsigned(max_repeat.bit_length())})


@dataclass(frozen=True)
class ReplaySpec:
    """The size of a replay buffer: ``depth`` words of ``width`` bits, orders of up to ``max_repeat`` readings.

    ``max_length`` is the most words of an order: by default the depth. An order that is read once may be longer.

    Raises:
        ValueError: for no word or no reading.
    """

    width: int
    depth: int
    style: str
    max_repeat: int
    max_length: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_length", max(self.max_length, self.depth))
        if self.depth < 1 or self.max_repeat < 1:
            raise ValueError(
                f"replay buffer needs at least 1 word and 1 reading, not {self.depth} and {self.max_repeat}"
            )

    @property
    def ram(self) -> RamSpec:
        """The RAM of the words."""
        return RamSpec(self.width, self.depth, self.style)

    @property
    def shape(self) -> str:
        """Words x bits."""
        return f"{self.depth:,} x {self.width} bits"

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a word to its first appearance at the output."""
        return self.ram.latency + 2

    @property
    def control_resources(self) -> Resources:
        """LUT and FF of the pointers and counters, and of the flags that accompany the words."""
        bits, repeat = self.depth.bit_length(), self.max_repeat.bit_length()
        longer = self.max_length.bit_length() - bits  # more bits of the two counters of words
        return Resources(lut=11 * bits + 3 * longer, ff=6 * bits + 2 * longer + repeat + 2 * self.ram.latency)

    @property
    def resources(self) -> Resources:
        """RAM, pointers and output buffer."""
        return self.ram.resources + self.control_resources + pipeline_resources(self.width + 1, self.latency)


class ReplayControl(wiring.Component):
    """The pointers of a replay buffer over a ring of ``depth`` words, which need not be a power of two.

    An order that is read once may be longer than the ring, up to ``max_length`` (default: the depth): its words are
    released as they are read, while the rest of them arrives.

    Members:
        order: stream of `ReplayOrder`; it leaves with its last read.
        free: words that may be written.
        written: strobe; a word was written at ``write_address``.
        addresses: stream of read addresses. A word is released ``hold`` cycles after its last address leaves, because
            the RAMs may be read that much later.
        ends: the address on offer is the last of a reading.
    """

    def __init__(self, depth: int, max_repeat: int, *, hold: int = 0, max_length: int = 0):
        self.depth, self.max_repeat, self.hold, self.max_length = depth, max_repeat, hold, max(max_length, depth)
        address = range(max(depth, 2))
        super().__init__(
            {
                "order": In(stream.Signature(ReplayOrder(self.max_length, max_repeat))),
                "free": Out(range(depth + 1), init=depth),
                "written": In(1),
                "write_address": Out(address),
                "addresses": Out(stream.Signature(Shape.cast(address))),
                "ends": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self.depth
        order = self.order.payload
        # Words written since the first of the present order; those released since then count too.
        filled = Signal(range(self.max_length + depth + 1))
        index = Signal(range(self.max_length + 1))
        reading = Signal(range(self.max_repeat))
        first = Signal.like(self.write_address)
        current = Signal.like(self.write_address)
        following = Signal.like(current)
        m.d.comb += following.eq(Mux(current == depth - 1, 0, current + 1))

        take = self.addresses.valid & self.addresses.ready
        last_reading = Signal()
        last_word = Signal()
        released, finished = take & last_reading, take & last_reading & last_word
        m.d.comb += [
            last_reading.eq(reading == order.repeat - 1),
            last_word.eq(index == order.length - 1),
            self.ends.eq(last_word),
            self.addresses.payload.eq(current),
            self.addresses.valid.eq(self.order.valid & (index < filled)),
            self.order.ready.eq(finished),
        ]
        gone = released
        if self.hold:
            held = Signal(self.hold)
            m.d.sync += held.eq(Cat(released, held))
            gone = held[-1]
        m.d.sync += self.free.eq(self.free + gone - self.written)
        m.d.sync += filled.eq(filled + self.written - Mux(finished, order.length, 0))
        with m.If(self.written):
            m.d.sync += self.write_address.eq(Mux(self.write_address == depth - 1, 0, self.write_address + 1))
        with m.If(take):
            m.d.sync += [index.eq(Mux(last_word, 0, index + 1)), current.eq(following)]
            with m.If(last_word):
                m.d.sync += reading.eq(Mux(last_reading, 0, reading + 1))
                with m.If(last_reading):
                    m.d.sync += first.eq(following)
                with m.Else():
                    m.d.sync += current.eq(first)
        return m


class ReplayBuffer(wiring.Component):
    """A FIFO of ``depth`` words that reads each order's words ``repeat`` times; one word in and one out per cycle.

    A word can be read from the cycle after it was written, so the first reading may follow the writing closely. With
    orders of ``repeat`` 1 it is a plain prefetching FIFO. Members: ``input``, ``output`` (streams of ``shape``),
    ``order`` (stream of `ReplayOrder`), ``last`` (the word on offer ends a reading).
    """

    def __init__(self, shape: ShapeLike, depth: int, *, style: str, max_repeat: int):
        self.spec = ReplaySpec(Shape.cast(shape).width, depth, style, max_repeat)
        super().__init__(
            {
                "input": In(stream.Signature(shape)),
                "order": In(stream.Signature(ReplayOrder(depth, max_repeat))),
                "output": Out(stream.Signature(shape)),
                "last": Out(1),
            }
        )

    def read_once(self, m: Module) -> None:
        """Makes it a plain FIFO in ``m``: every word is an order of its own, which is read once."""
        order = self.order.payload
        m.d.comb += [self.order.valid.eq(1), order.length.eq(1), order.repeat.eq(1)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, shape = self.spec, self.input.payload.shape()
        m.submodules.ram = ram = Ram(spec.width, spec.depth, spec.style)
        m.submodules.control = control = ReplayControl(spec.depth, spec.max_repeat)
        m.submodules.buffer = buffer = PipelineBuffer(data.StructLayout({"word": shape, "last": 1}), spec.latency)
        connect(m, self.order, control.order)
        accept = self.input.valid & self.input.ready
        m.d.comb += [
            self.input.ready.eq(control.free != 0),
            control.written.eq(accept),
            ram.write_enable.eq(accept),
            ram.write_address.eq(control.write_address),
            ram.write_data.eq(self.input.payload),
            ram.read_address.eq(control.addresses.payload),
            control.addresses.ready.eq(buffer.room),
            buffer.take.eq(control.addresses.valid & buffer.room),
        ]
        on_the_way = Signal(spec.ram.latency)
        ends = Signal(spec.ram.latency)
        m.d.sync += [on_the_way.eq(Cat(buffer.take, on_the_way)), ends.eq(Cat(control.ends, ends))]
        m.d.comb += [
            buffer.push.eq(on_the_way[-1]),
            Value.cast(buffer.payload.word).eq(ram.read_data),
            buffer.payload.last.eq(ends[-1]),
            Value.cast(self.output.payload).eq(Value.cast(buffer.output.payload.word)),
            self.last.eq(buffer.output.payload.last),
            self.output.valid.eq(buffer.output.valid),
            buffer.output.ready.eq(self.output.ready),
        ]
        return m
