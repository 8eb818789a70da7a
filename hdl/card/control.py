"""The control registers of a kernel on AXI4-Lite, with the handshake ap_ctrl_chain and an interrupt."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..delay_registers import KEEP, registered_tree, tree_levels
from ..stream import StreamBuffer
from .axi import OKAY, SLAVE_ERROR, lite_signature
from .registers import ADDRESS_BITS, VERSION, ControlBits, RegisterMap

__all__ = ["RunControl"]

SHARED = 4
"""Words of 32 bits that share an enable."""

_WRITE = data.StructLayout({"data": unsigned(32), "strobes": unsigned(4)})
_ANSWER = data.StructLayout({"data": unsigned(32), "response": unsigned(2)})


class RunControl(wiring.Component):
    """The registers of a `RegisterMap`.

    A run begins when start is set, no run goes on, and the host has taken the last run's done by continue. At the end
    of a run, done and ready are set, and start is cleared unless auto_restart is set. A read of
    ``control`` clears ready. The arguments may be written while no run goes on.

    SLVERR answers an access to an address without a register, a write to a register that the host may only read, and a
    write to an argument during a run. Such an access changes nothing.

    Members:
        axi: AXI4-Lite; all outputs come from registers.
        begin: strobe; a run begins. ``end``: strobe; it has ended.
        arguments: a member of each argument's name. ``counters``: one of each counter's.
        status: 32 bits for register ``status``.
        interrupt: the pin.
    """

    def __init__(self, registers: RegisterMap):
        self.registers = self.spec = registers
        arguments = {argument.name: Out(argument.bits) for argument in registers.arguments}
        super().__init__(
            {
                "axi": In(lite_signature(ADDRESS_BITS)),
                "begin": Out(1),
                "end": In(1),
                "arguments": Out(wiring.Signature(arguments)),
                "counters": In(wiring.Signature({name: Out(64) for name in registers.counters})),
                "status": In(32),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axi = self.axi
        addresses, words = self._buffer(m, "addresses", ADDRESS_BITS), self._buffer(m, "words", _WRITE)
        answers, asked = self._buffer(m, "answers", 2), self._buffer(m, "asked", ADDRESS_BITS)
        found = self._buffer(m, "found", _ANSWER)
        write = Signal()
        decoded = Signal()
        m.d.sync += decoded.eq(addresses.output.valid & words.output.valid & ~write)
        running = Signal()
        m.d.comb += [
            *_receive(addresses, axi.awvalid, axi.awready, axi.awaddr),
            *_receive(words, axi.wvalid, axi.wready, Cat(axi.wdata, axi.wstrb)),
            *_receive(asked, axi.arvalid, axi.arready, axi.araddr),
            *_send(answers, axi.bvalid, axi.bready, axi.bresp),
            *_send(found, axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp)),
            write.eq(decoded & answers.input.ready),
            *(each.output.ready.eq(write) for each in (addresses, words)),
            answers.input.valid.eq(write),
        ]
        ready_read = Signal()
        values = self._run(m, running, ready_read, write, addresses.output.payload, words.output.payload)
        self._write(m, running, write, addresses.output.payload, words.output.payload, answers.input.payload)
        m.d.comb += ready_read.eq(self._read(m, values, asked.output, found.input))
        return m

    @staticmethod
    def _buffer(m: Module, name: str, shape: Any) -> StreamBuffer:
        m.submodules[name] = buffer = StreamBuffer(unsigned(shape) if isinstance(shape, int) else shape)
        return buffer

    def _run(
        self, m: Module, running: Signal, ready_read: Value, write: Value, address: Value, word: Any
    ) -> dict[str, Value]:
        """The handshake of runs and the interrupt; returns the values of all registers."""
        start = Signal()
        done = Signal()
        ready = Signal()
        auto_restart = Signal()
        enable = Signal()
        sources = Signal(2)
        status = Signal(2)
        low = word.data[:8]
        writes = {
            name: write & (address == self.registers[name].offset) & word.strobes[0]
            for name in ("control", "interrupt_enable", "interrupt_sources", "interrupt_status")
        }
        begins = start & ~running & ~done
        m.d.comb += self.begin.eq(begins)
        with m.If(begins):
            m.d.sync += [running.eq(1), ready.eq(0)]
        with m.If(ready_read):
            m.d.sync += ready.eq(0)
        ended = running & self.end
        with m.If(ended):
            m.d.sync += [running.eq(0), done.eq(1), ready.eq(1), start.eq(auto_restart)]
        with m.If(writes["control"]):  # a start that comes with the end of a run is not lost
            m.d.sync += auto_restart.eq(low[ControlBits.AUTO_RESTART])
            with m.If(low[ControlBits.CONTINUE]):
                m.d.sync += done.eq(0)
            with m.If(low[ControlBits.START]):
                m.d.sync += start.eq(1)
        with m.If(writes["interrupt_enable"]):
            m.d.sync += enable.eq(low[0])
        with m.If(writes["interrupt_sources"]):
            m.d.sync += sources.eq(low[:2])
        toggled = low[:2] & writes["interrupt_status"].replicate(2)
        m.d.sync += status.eq((status ^ toggled) | (sources & ended.replicate(2)))
        m.d.sync += self.interrupt.eq(enable & status.any())
        idle = ~running & ~begins
        control = Cat(start, done, idle, ready, Const(0, 3), auto_restart)
        own = {"control": control, "interrupt_enable": enable, "interrupt_sources": sources}
        own |= {"interrupt_status": status, "version": Const(VERSION, 32), "status": self.status}
        own |= {"design_hash": Const(self.registers.design_hash, 64)}
        own |= {argument.name: getattr(self.arguments, argument.name) for argument in self.registers.arguments}
        return own | {name: getattr(self.counters, name) for name in self.registers.counters}

    def _write(self, m: Module, running: Signal, write: Value, address: Value, word: Any, response: Value) -> None:
        """Writes the arguments, and answers all writes; the address is decoded in the cycle before."""
        names = {argument.name for argument in self.registers.arguments}
        words = [(register, *found) for register in self.registers.registers if register.writable
                 for found in register.words]  # fmt: skip
        own = [offset for register, offset, _ in words if register.name not in names]
        is_own = Signal(len(own))
        m.d.sync += is_own.eq(Cat(address == offset for offset in own))
        arguments = [(getattr(self.arguments, register.name)[place : place + 32], offset)
                     for register, offset, place in words if register.name in names]  # fmt: skip
        hits = Signal(len(arguments), reset_less=True)
        m.d.sync += hits.eq(Cat(address == offset for _, offset in arguments))
        is_argument = Signal()
        m.d.sync += is_argument.eq((address >= arguments[0][1]) & (address <= arguments[-1][1]) & (address[:2] == 0))
        m.d.comb += response.eq(Mux(is_own.any() | (is_argument & ~running), OKAY, SLAVE_ERROR))
        opened = Signal()
        m.d.comb += opened.eq(write & ~running)
        for (value, _), hit in zip(arguments, hits, strict=True):
            for byte in range(4):
                with m.If(opened & hit & word.strobes[byte]):
                    m.d.sync += value.word_select(byte, 8).eq(word.data.word_select(byte, 8))

    def _read(self, m: Module, values: dict[str, Value], asked: Any, found: Any) -> Value:
        """Answers one read after the other, from registers; returns the strobe of a read of ``control``."""
        words = {
            offset: values[register.name][place : place + 32]
            for register in self.registers.registers
            for offset, place in register.words
        }
        hits = Signal(len(words), reset_less=True)
        m.d.sync += hits.eq(Cat(asked.payload == offset for offset in words))
        parts = [Mux(hit, word, 0) for hit, word in zip(hits, words.values(), strict=True)]
        groups = [reduce(or_, parts[i : i + 3]) for i in range(0, len(parts), 3)]
        gathered = [Signal(32, name=f"group_{i}", reset_less=True) for i, _ in enumerate(groups)]
        # The stages that have seen the address that waits: hits, groups, and the levels of the trees.
        taken = Signal()
        ready = Signal(2 + max(tree_levels(len(groups), 6), tree_levels(len(words), 6) - 1))
        sampled = ready[0] & ~ready[1]
        starts = [Signal(name=f"ready_{i}", attrs=KEEP) for i in range(0, len(groups), SHARED)]
        for start, first in zip(starts, range(0, len(groups), SHARED), strict=True):
            m.d.sync += start.eq(asked.valid & ~ready[0] & ~start & ~taken)
            with m.If(start):
                m.d.sync += [gathered[i].eq(group) for i, group in list(enumerate(groups))[first : first + SHARED]]
        m.d.comb += taken.eq(asked.valid & ready[-1] & found.ready)
        m.d.sync += ready.eq(Mux(taken, 0, Cat(asked.valid, ready[:-1])))
        hit = registered_tree(m, "hit", list(hits), or_, fan_in=6)
        m.d.comb += [
            asked.ready.eq(taken),
            found.valid.eq(asked.valid & ready[-1]),
            found.payload.data.eq(registered_tree(m, "word", gathered, or_, fan_in=6)),
            found.payload.response.eq(Mux(hit, OKAY, SLAVE_ERROR)),
        ]
        return sampled & hits[0]


def _receive(buffer: StreamBuffer, valid: Value, ready: Value, payload: Value) -> list[Any]:
    """From a channel of AXI to a buffer."""
    port = buffer.input
    return [port.valid.eq(valid), ready.eq(port.ready), Value.cast(port.payload).eq(payload)]


def _send(buffer: StreamBuffer, valid: Value, ready: Value, payload: Value) -> list[Any]:
    """From a buffer to a channel of AXI."""
    port = buffer.output
    return [valid.eq(port.valid), port.ready.eq(ready), payload.eq(Value.cast(port.payload))]
