"""A kernel between models of a card: streams of `sim.memory` at its AXI4 masters, accesses at its control registers.

All that reaches the kernel passes its AXI ports. `KernelBench` is hardware of the simulation only.
"""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.card.axi import MasterSpec, read_signature, write_signature
from hdl.card.registers import ADDRESS_BITS
from hdl.channel import Request, Written
from hdl.stream import StreamBuffer, buffered, connect
from hdl.top.kernel.kernel_spec import KernelSpec
from hdl.top.kernel.pins import CONTROL_BUS, KernelPins, bus_signals

__all__ = ["ACCESS", "ANSWERED", "BANK_BITS", "KernelBench"]

BANK_BITS = 28
"""Bits of a byte's address in its bank of 256 MB; a master sees only its own bank."""

BYTE_BITS = MasterSpec().byte_bits

ACCESS = data.StructLayout({"address": unsigned(ADDRESS_BITS), "data": unsigned(32), "write": 1})
"""An access to a control register."""

ANSWERED = data.StructLayout({"data": unsigned(32), "response": unsigned(2)})


class KernelBench(wiring.Component):
    """The Verilog module of a kernel, whose AXI ports are streams here.

    Members: ``accesses`` (stream of `ACCESS`), ``answered`` (stream of `ANSWERED`, one for each access); ``interrupts``
    (stream of one bit: a beat for each time that the pin rises); for each port the streams of a memory of its name.
    """

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        bit = stream.Signature(unsigned(1))
        members: dict[str, Any] = {
            "accesses": In(stream.Signature(ACCESS)),
            "answered": Out(stream.Signature(ANSWERED)),
            "interrupts": Out(bit),
        }
        for port in spec.ports:
            members[f"{port.name}_requests"] = Out(stream.Signature(Request))
            members[f"{port.name}_data"] = In(stream.Signature(unsigned(8 * spec.master.beat_bytes)))
            if port.writes:
                members[f"{port.name}_writes"] = Out(stream.Signature(Request))
                members[f"{port.name}_written"] = Out(stream.Signature(Written))
                members[f"{port.name}_acknowledged"] = In(bit)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        kernel = KernelPins(spec)
        directions = {name: "i" if member.flow == In else "o" for name, member in kernel.signature.members.items()}
        m.submodules.kernel = Instance(
            spec.name, **{f"{direction}_{name}": getattr(kernel, name) for name, direction in directions.items()}
        )
        kernel._MustUse__used = True
        m.d.comb += [kernel.ap_clk.eq(ClockSignal()), kernel.ap_rst_n.eq(~ResetSignal())]
        buses = {
            bus: {name: getattr(kernel, f"{bus}_{name}") for name in signals}
            for bus, signals in bus_signals(spec).items()
        }
        self._control(m, buses[CONTROL_BUS], kernel.interrupt)
        for port in spec.ports:
            m.submodules[f"reads_{port.name}"] = reads = ReadSlave(spec.master)
            self._attach(m, buses[port.bus], reads.axi)
            connect(m, reads.requests, getattr(self, f"{port.name}_requests"))
            connect(m, getattr(self, f"{port.name}_data"), reads.data)
            if port.writes:
                m.submodules[f"writes_{port.name}"] = writes = WriteSlave(spec.master)
                self._attach(m, buses[port.bus], writes.axi)
                connect(m, writes.writes, getattr(self, f"{port.name}_writes"))
                connect(m, writes.written, getattr(self, f"{port.name}_written"))
                connect(m, getattr(self, f"{port.name}_acknowledged"), writes.acknowledged)
        return m

    @staticmethod
    def _attach(m: Module, bus: dict[str, Any], axi: Any) -> None:
        """Connects the channels of a slave with those of a bus."""
        for name, member in axi.signature.members.items():
            signal = getattr(axi, name)
            m.d.comb += signal.eq(bus[name]) if member.flow == In else bus[name].eq(signal)

    def _control(self, m: Module, bus: dict[str, Any], interrupt: Value) -> None:
        """The accesses, one at a time, and the interrupts."""
        accesses = buffered(m, "accesses_waiting", self.accesses)
        m.submodules.answered = answered = StreamBuffer(ANSWERED)
        m.submodules.rises = rises = StreamBuffer(unsigned(1))
        connect(m, answered.output, self.answered)
        connect(m, rises.output, self.interrupts)
        sent = {channel: Signal(name=f"{channel}_sent") for channel in ("aw", "w", "ar")}
        access = accesses.payload
        wanted = {"aw": access.write, "w": access.write, "ar": ~access.write}
        ends = answered.input.valid & answered.input.ready
        for channel, one in sent.items():
            m.d.comb += bus[f"{channel}valid"].eq(accesses.valid & wanted[channel] & ~one)
            with m.If(ends):
                m.d.sync += one.eq(0)
            with m.Elif(bus[f"{channel}valid"] & bus[f"{channel}ready"]):
                m.d.sync += one.eq(1)
        before = Signal()
        m.d.sync += before.eq(interrupt)
        m.d.comb += [
            bus["awaddr"].eq(access.address),
            bus["araddr"].eq(access.address),
            bus["wdata"].eq(access.data),
            bus["wstrb"].eq(~0),
            bus["bready"].eq(answered.input.ready),
            bus["rready"].eq(answered.input.ready),
            answered.input.valid.eq(bus["bvalid"] | bus["rvalid"]),
            answered.input.payload.data.eq(bus["rdata"]),
            answered.input.payload.response.eq(Mux(access.write, bus["bresp"], bus["rresp"])),
            accesses.ready.eq(ends),
            rises.input.valid.eq(interrupt & ~before),
        ]


def beat_of(address: Value) -> Value:
    """The number of a beat in its bank, of a byte's address."""
    return address[BYTE_BITS:BANK_BITS]


class ReadSlave(wiring.Component):
    """A memory's end of the channels AR and R. Members: ``axi``; ``requests``, ``data``: the streams of a memory."""

    def __init__(self, spec: MasterSpec):
        super().__init__(
            {
                "axi": In(read_signature(spec)),
                "requests": Out(stream.Signature(Request)),
                "data": In(stream.Signature(unsigned(8 * spec.beat_bytes))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axi = self.axi
        m.submodules.lengths = lengths = StreamBuffer(unsigned(8), 64)
        m.submodules.asked = asked = StreamBuffer(Request)
        connect(m, asked.output, self.requests)
        index = Signal(8)
        last = index == lengths.output.payload
        moved = axi.rvalid & axi.rready
        m.d.comb += [
            axi.arready.eq(lengths.input.ready & asked.input.ready),
            lengths.input.valid.eq(axi.arvalid & asked.input.ready),
            asked.input.valid.eq(axi.arvalid & lengths.input.ready),
            lengths.input.payload.eq(axi.arlen),
            asked.input.payload.address.eq(beat_of(axi.araddr)),
            asked.input.payload.beats.eq(axi.arlen + 1),
            axi.rvalid.eq(self.data.valid & lengths.output.valid),
            axi.rdata.eq(self.data.payload),
            axi.rlast.eq(last),
            self.data.ready.eq(axi.rready & lengths.output.valid),
            lengths.output.ready.eq(moved & last),
        ]
        with m.If(moved):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        return m


class WriteSlave(wiring.Component):
    """A memory's end of the channels AW, W and B. Members: ``axi``; ``writes``, ``written``, ``acknowledged``."""

    def __init__(self, spec: MasterSpec):
        super().__init__(
            {
                "axi": In(write_signature(spec)),
                "writes": Out(stream.Signature(Request)),
                "written": Out(stream.Signature(Written)),
                "acknowledged": In(stream.Signature(unsigned(1))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        axi = self.axi
        m.submodules.asked = asked = StreamBuffer(Request)
        m.submodules.beats = beats = StreamBuffer(Written)
        connect(m, asked.output, self.writes)
        connect(m, beats.output, self.written)
        m.d.comb += [
            axi.awready.eq(asked.input.ready),
            asked.input.valid.eq(axi.awvalid),
            asked.input.payload.address.eq(beat_of(axi.awaddr)),
            asked.input.payload.beats.eq(axi.awlen + 1),
            axi.wready.eq(beats.input.ready),
            beats.input.valid.eq(axi.wvalid),
            beats.input.payload.data.eq(axi.wdata),
            beats.input.payload.strobes.eq(axi.wstrb),
            axi.bvalid.eq(self.acknowledged.valid),
            self.acknowledged.ready.eq(axi.bready),
        ]
        return m
