"""The replay buffer, which is the principle of every memory of the accelerator.

A replay buffer is a FIFO whose content is read several times in the same order. During the last reading its words are
released one by one, so that the next content follows at once; two buffers in turn would need room for both contents.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counted import Counted, Turns
from .delay_registers import advance, delay
from .ram import RegisteredRam, RegisteredRamSpec
from .resources import Resources
from .stream import PipelineBuffer, StreamBuffer, buffer_resources, connect, pipeline_resources

__all__ = ["ReplayBuffer", "ReplayControl", "ReplayOrder", "ReplayRead", "ReplaySpec"]


class ReplayOrder(data.StructLayout):
    """An order of a replay buffer: its next ``length`` words are read ``repeat`` times (both at least 1)."""

    def __init__(self, max_length: int, max_repeat: int):
        super().__init__({"length": unsigned(max_length.bit_length()), "repeat": unsigned(max_repeat.bit_length())})


class ReplayRead(data.StructLayout):
    """A word to read from a ring of ``depth`` words: its ``address``, and whether it is the ``last`` of a reading."""

    def __init__(self, depth: int):
        super().__init__({"address": Shape.cast(range(max(depth, 2))), "last": 1})


@dataclass(frozen=True)
class ReplaySpec:
    """The size of a replay buffer: ``depth`` words of ``width`` bits, orders of up to ``max_repeat`` readings.

    ``max_length`` is the most words of an order: by default the depth. An order that is read once may be longer.
    A word has ``groups`` equal parts, which are written alone (`RegisteredRamSpec`).

    Raises:
        ValueError: for no word or no reading.
    """

    width: int
    depth: int
    style: str
    max_repeat: int
    max_length: int = 0
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_length", max(self.max_length, self.depth))
        if self.depth < 1 or self.max_repeat < 1:
            raise ValueError(
                f"replay buffer needs at least 1 word and 1 reading, not {self.depth} and {self.max_repeat}"
            )

    @property
    def ram(self) -> RegisteredRamSpec:
        """The RAM of the words."""
        return RegisteredRamSpec(self.width, self.depth, self.style, self.groups)

    @property
    def shape(self) -> str:
        """Words x bits."""
        return f"{self.depth:,} x {self.width} bits"

    control_latency = 2
    """Cycles from the acceptance of a word to its address on offer: counted, and in the buffer of addresses."""

    @property
    def buffer_depth(self) -> int:
        """Beats of the buffer at the output: those on the way out of the RAM, and two in the buffer."""
        return self.ram.latency + 2

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a word to its first appearance at the output."""
        return self.control_latency + self.ram.latency + 1

    @property
    def control_resources(self) -> Resources:
        """LUT and FF of `ReplayControl`."""
        bits, repeat = self.depth.bit_length(), self.max_repeat.bit_length()
        order = ReplayOrder(self.max_length, self.max_repeat).size
        buffers = buffer_resources(order + 2, 2) + buffer_resources(bits + 2, 2)
        longer = self.max_length.bit_length()
        return buffers + Resources(lut=7 * bits + longer + repeat + 5, ff=5 * bits + longer + repeat + 8)

    @property
    def resources(self) -> Resources:
        """RAM, pointers and output buffer."""
        flags = Resources(ff=2 * self.ram.latency)
        output = pipeline_resources(self.width + 1, self.buffer_depth)
        return self.ram.resources + self.control_resources + flags + output


class ReplayControl(wiring.Component):
    """The pointers of a replay buffer over a ring of ``depth`` words, which need not be a power of two.

    An order that is read once may be longer than the ring, up to ``max_length`` (default: the depth): its words are
    released as they are read, while the rest of them arrives. All outputs come from registers.

    Members:
        order: stream of `ReplayOrder`.
        room: level; a word may be written.
        written: strobe; a word was written at ``write_address``.
        addresses: stream of `ReplayRead`. A word is released ``hold`` cycles after its last address leaves, because
            the RAMs may be read that much later.
        released: strobe; a word is released.
    """

    def __init__(self, depth: int, max_repeat: int, *, hold: int = 0, max_length: int = 0):
        self.depth, self.max_repeat, self.hold, self.max_length = depth, max_repeat, hold, max(max_length, depth)
        super().__init__(
            {
                "order": In(stream.Signature(ReplayOrder(self.max_length, max_repeat))),
                "room": Out(1, init=1),
                "written": In(1),
                "write_address": Out(range(max(depth, 2))),
                "addresses": Out(stream.Signature(ReplayRead(depth))),
                "released": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self.depth
        orders = self._orders(m)
        read = data.StructLayout({"read": ReplayRead(depth), "releases": 1})
        m.submodules.reads = reads = StreamBuffer(read)
        order, offered = orders.payload, reads.input.payload
        fresh = Counted("fresh", depth, init=0)  # words that were written, and not yet read once
        free = Counted("free", depth, init=depth)
        # The last word and the last reading are found a step ahead: so these are the numbers of the next ones, from 1.
        index = Signal(range(self.max_length + 2), init=2)
        reading = Signal(range(self.max_repeat + 2), init=2)
        begun = Signal()  # the word is not the first of its reading
        again = Signal()  # the reading is not the first of its order
        word_is_last = Signal()
        reading_is_last = Signal()
        first = Signal.like(self.write_address)
        current = Turns("current", depth)
        first_is_end = Signal(init=depth == 1)  # the first word stands at the ring's end
        following = Signal.like(self.write_address)
        step = Signal()
        last_word = Signal()
        last_reading = Signal()
        m.d.comb += [
            following.eq(Mux(current.last, 0, current.count + 1)),
            last_word.eq(Mux(begun, word_is_last, order.one_word)),
            last_reading.eq(Mux(again, reading_is_last, order.one_reading)),
            step.eq(orders.valid & reads.input.ready & (again | fresh.some)),
            orders.ready.eq(step & last_word & last_reading),
            reads.input.valid.eq(orders.valid & (again | fresh.some)),
            offered.read.address.eq(current.count),
            offered.read.last.eq(last_word),
            offered.releases.eq(last_reading),
        ]
        with m.If(step):
            m.d.sync += [
                index.eq(Mux(last_word, 2, index + 1)),
                begun.eq(~last_word),
                word_is_last.eq(index == order.order.length),
            ]
            current.step(m, Const(1))
            with m.If(last_word):
                m.d.sync += [
                    reading.eq(Mux(last_reading, 2, reading + 1)),
                    again.eq(~last_reading),
                    reading_is_last.eq(reading == order.order.repeat),
                ]
                with m.If(last_reading):
                    m.d.sync += [first.eq(following), first_is_end.eq(current.last_after)]
                with m.Else():
                    m.d.sync += [current.count.eq(first), current.last.eq(first_is_end)]
        advance(m, self.write_address, depth, self.written)
        leaves = Signal()
        m.d.comb += [
            Value.cast(self.addresses.payload).eq(Value.cast(reads.output.payload.read)),
            self.addresses.valid.eq(reads.output.valid),
            reads.output.ready.eq(self.addresses.ready),
            leaves.eq(reads.output.valid & self.addresses.ready & reads.output.payload.releases),
            self.released.eq(delay(m, "leaves", leaves, self.hold, control=True)),
            self.room.eq(free.some),
        ]
        fresh.step(m, up=self.written, down=step & ~again)
        free.step(m, up=self.released, down=self.written)
        return m

    def _orders(self, m: Module) -> Any:
        """The orders, each with whether it has ``one_word`` and ``one_reading``, after a buffer."""
        order = self.order.payload
        known = data.StructLayout({"order": order.shape(), "one_word": 1, "one_reading": 1})
        m.submodules.orders = orders = StreamBuffer(known)
        m.d.comb += [
            orders.input.valid.eq(self.order.valid),
            self.order.ready.eq(orders.input.ready),
            Value.cast(orders.input.payload).eq(
                Cat(Value.cast(order), order.length == 1, order.repeat == 1),
            ),
        ]
        return orders.output


class ReplayBuffer(wiring.Component):
    """A FIFO that reads each order's words ``repeat`` times; one word in and one out per cycle.

    The first reading may follow the writing closely (`ReplaySpec.latency`). With orders of ``repeat`` 1 it is a plain
    prefetching FIFO.

    Members:
        input: stream of ``shape``; where a word has several groups, of their bits, one group after the other.
        order: stream of `ReplayOrder`.
        output: stream of ``shape``.
        last: the word on offer ends a reading.
    """

    def __init__(self, shape: ShapeLike, spec: ReplaySpec):
        self.spec = spec
        given = shape if spec.groups == 1 else unsigned(spec.ram.group_bits)
        super().__init__(
            {
                "input": In(stream.Signature(given)),
                "order": In(stream.Signature(ReplayOrder(spec.depth, spec.max_repeat))),
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
        spec, shape = self.spec, self.output.payload.shape()
        m.submodules.ram = ram = RegisteredRam(spec.ram)
        m.submodules.control = control = ReplayControl(spec.depth, spec.max_repeat)
        m.submodules.buffer = buffer = PipelineBuffer(data.StructLayout({"word": shape, "last": 1}), spec.buffer_depth)
        connect(m, self.order, control.order)
        accept = self.input.valid & self.input.ready
        group = Signal(spec.groups, init=1)  # the group that comes next, as one bit of several
        if spec.groups > 1:
            with m.If(accept):
                m.d.sync += group.eq(group.rotate_left(1))
        m.d.comb += [
            self.input.ready.eq(control.room),
            control.written.eq(accept & group[-1]),
            ram.write_enable.eq(Mux(accept, group, 0)),
            ram.write_address.eq(control.write_address),
            ram.write_data.eq(self.input.payload),
            ram.read_address.eq(control.addresses.payload.address),
            control.addresses.ready.eq(buffer.room),
            buffer.take.eq(control.addresses.valid & buffer.room),
            buffer.push.eq(delay(m, "taken", buffer.take, spec.ram.latency, control=True)),
            Value.cast(buffer.payload.word).eq(ram.read_data),
            buffer.payload.last.eq(delay(m, "last", control.addresses.payload.last, spec.ram.latency)),
            Value.cast(self.output.payload).eq(Value.cast(buffer.output.payload.word)),
            self.last.eq(buffer.output.payload.last),
            self.output.valid.eq(buffer.output.valid),
            buffer.output.ready.eq(self.output.ready),
        ]
        return m
