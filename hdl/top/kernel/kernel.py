"""A design as a kernel: its masters, the guards of its image, the control registers, and what carries out a request."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...card.axi import lite_signature, read_signature, write_signature
from ...card.control import RunControl
from ...card.guard import ImageGuard
from ...card.masters import STATUS, ReadMaster, WriteMaster
from ...card.meter import Meter
from ...card.registers import ADDRESS_BITS, VERSION
from ...card.report import ReportWriter
from ...card.session import Flags, Session
from ...hierarchy import place
from ...stream import connect
from .decoder_work import DecoderWork
from .encoder_work import EncoderWork
from .kernel_spec import HOST, KernelPort, KernelSpec

__all__ = ["Kernel"]


class Kernel(wiring.Component):
    """The kernel with the clock and the reset of the design.

    Members: ``control`` (AXI4-Lite), ``interrupt``; for each of `KernelSpec.ports` ``read_NAME`` (AXI4, the channels AR
    and R), and ``write_NAME`` (AW, W and B) if it writes.
    """

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        reads = {f"read_{port.name}": Out(read_signature(spec.master)) for port in spec.ports}
        writes = {f"write_{port.name}": Out(write_signature(spec.master)) for port in spec.ports if port.writes}
        super().__init__({"control": In(lite_signature(ADDRESS_BITS)), "interrupt": Out(1), **reads, **writes})

    def elaborate(self, platform: Any) -> Module:
        return KernelComposition(self, platform).m


class KernelComposition:
    """Builds the module of a kernel."""

    def __init__(self, kernel: Kernel, platform: Any):
        self.m, self.platform, self.spec, self.kernel = Module(), platform, kernel.spec, kernel
        m, spec = self.m, self.spec
        self.control = control = self.add("control", RunControl(spec.registers))
        image = [port for port in spec.ports if port.image]
        self.session = self.add("session", Session(len(image)))
        self.work = self.add("work", DecoderWork(spec) if spec.decodes else EncoderWork(spec))
        wiring.connect(m, wiring.flipped(kernel.control), control.axi)
        m.d.comb += kernel.interrupt.eq(control.interrupt)
        self.errors: list[Any] = []
        self.readers: dict[str, Any] = {}
        for port in spec.ports:
            self.reader(port)
            if port.writes:
                self.writer(port)
        for number, port in enumerate(image):
            self.guard(number, port)
        self.run()

    def add(self, name: str, component: Any) -> Any:
        """Adds a component as a module of its own; returns it."""
        self.m.submodules[name] = place(self.platform, component)
        return component

    def reader(self, port: KernelPort) -> None:
        """The master that reads for a port, and its meter."""
        m, axi = self.m, getattr(self.kernel, f"read_{port.name}")
        master = self.add(f"read_{port.name}", ReadMaster(self.spec.master))
        wiring.connect(m, master.axi, wiring.flipped(axi))
        moved = axi.rvalid & axi.rready
        self.master(port, master, port.pointers[0])
        self.meter(port, axi.arvalid & axi.arready, moved & axi.rlast, moved)
        self.readers[port.name] = master
        if not port.image:
            connect(m, getattr(self.work, f"{port.name}_requests"), master.requests)
            connect(m, master.data, getattr(self.work, f"{port.name}_data"))

    def writer(self, port: KernelPort) -> None:
        """The master that writes for a port."""
        m, axi = self.m, getattr(self.kernel, f"write_{port.name}")
        master = self.add(f"write_{port.name}", WriteMaster(self.spec.master))
        wiring.connect(m, master.axi, wiring.flipped(axi))
        self.master(port, master, port.pointers[-1])
        own = {role: getattr(self.work, f"{port.name}_{role}") for role in ("writes", "written", "acknowledged")}
        if port.name == HOST:
            self.share(master, own)
            return
        connect(m, own["writes"], master.writes)
        connect(m, own["written"], master.written)
        connect(m, master.acknowledged, own["acknowledged"])

    def share(self, master: Any, own: dict[str, Any]) -> None:
        """The work writes its answers; when it has ended, the report is written."""
        m = self.m
        self.report = report = self.add("report", ReportWriter(self.spec.registers))
        reports = Signal()
        with m.If(self.session.report):
            m.d.sync += reports.eq(1)
        with m.Elif(report.done):
            m.d.sync += reports.eq(0)
        for role in ("writes", "written"):
            first, second, sink = own[role], getattr(report, role), getattr(master, role)
            m.d.comb += [
                sink.valid.eq(Mux(reports, second.valid, first.valid)),
                Value.cast(sink.payload).eq(Mux(reports, Value.cast(second.payload), Value.cast(first.payload))),
                first.ready.eq(sink.ready & ~reports),
                second.ready.eq(sink.ready & reports),
            ]
        m.d.comb += [
            own["acknowledged"].valid.eq(master.acknowledged.valid & ~reports),
            report.acknowledged.valid.eq(master.acknowledged.valid & reports),
            master.acknowledged.ready.eq(Mux(reports, report.acknowledged.ready, own["acknowledged"].ready)),
            report.start.eq(self.session.report),
            self.session.reported.eq(report.done),
        ]

    def master(self, port: KernelPort, master: Any, pointer: str) -> None:
        """What masters have in common: the base address, and errors."""
        self.m.d.comb += [
            master.base.eq(getattr(self.control.arguments, pointer)),
            master.clear.eq(self.session.clear),
        ]
        self.errors.append(master.status)

    def meter(self, port: KernelPort, asked: Value, answered: Value, moved: Value) -> None:
        """Counts what a port reads."""
        meter = self.add(f"meter_{port.name}", Meter())
        counters = self.control.counters
        self.m.d.comb += [
            meter.clear.eq(self.session.clear),
            meter.running.eq(self.session.running),
            meter.asked.eq(asked),
            meter.answered.eq(answered),
            meter.moved.eq(moved),
            getattr(counters, f"beats_{port.name}").eq(meter.beats),
            getattr(counters, f"waits_{port.name}").eq(meter.waits),
        ]

    def guard(self, number: int, port: KernelPort) -> None:
        """The guard between a channel of the image and its master."""
        m, session = self.m, self.session
        master = self.readers[port.name]
        guard = self.add(f"guard_{port.name}", ImageGuard())
        m.d.comb += [
            guard.begin.eq(session.check),
            guard.whole.eq(session.whole),
            guard.check.design_hash.eq(self.spec.design_hash),
            guard.check.channel.eq(number),
            guard.check.beats.eq(port.beats),
            session.done[number].eq(guard.done),
            Value.cast(session.verdicts[number]).eq(Value.cast(guard.verdict)),
        ]
        connect(m, getattr(self.work, f"{port.name}_requests"), guard.asked)
        connect(m, guard.found, getattr(self.work, f"{port.name}_data"))
        connect(m, guard.requests, master.requests)
        connect(m, master.data, guard.data)

    def run(self) -> None:
        """A run from its begin to its end."""
        m, control, session, work = self.m, self.control, self.session, self.work
        registers, low = self.spec.registers, self.spec.master.byte_bits
        misaligned = [getattr(control.arguments, name)[:low].any() for name in registers.pointers]
        errors = Signal(STATUS)
        wrong = Signal(len(misaligned))
        cycles = Signal(64)
        m.d.sync += [wrong.eq(Cat(misaligned)), session.misaligned.eq(wrong.any())]
        for kind in STATUS.members:
            seen = Signal(len(self.errors), name=f"seen_{kind}")
            m.d.sync += [seen.eq(Cat(status[kind] for status in self.errors)), errors[kind].eq(seen.any())]
        m.d.comb += [
            session.begin.eq(control.begin),
            control.end.eq(session.end),
            control.status.eq(Value.cast(session.status)),
            Value.cast(session.memory).eq(Value.cast(errors)),
            session.whole.eq(control.arguments.flags[Flags.CHECK]),
            work.start.eq(session.start),
            session.ended.eq(work.ended),
            session.code.eq(work.code),
            control.counters.cycles.eq(cycles),
            control.counters.answers.eq(work.made),
            self.report.values.version.eq(VERSION),
            self.report.values.design_hash.eq(self.spec.design_hash),
            self.report.values.status.eq(Value.cast(session.status)),
        ]
        names = registers.counters
        m.d.comb += [getattr(self.report.values, name).eq(getattr(control.counters, name)) for name in names]
        m.d.comb += [getattr(work.arguments, name).eq(getattr(control.arguments, name)) for name in registers.numbers]
        with m.If(session.clear):
            m.d.sync += cycles.eq(0)
        with m.Elif(session.running):
            m.d.sync += cycles.eq(cycles + 1)
