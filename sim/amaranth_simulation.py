"""Runs a component whose ports are all streams in Amaranth's own simulator: slow, and nothing but Python is needed."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from sim.memory import MemoryChannel, bind, free
from sim.memory_model import ChannelModel, Side
from sim.simulation import Progress
from sim.streams import Deadlock, Gaps, ProtocolError, RunResult, StreamPort, check_ports, stream_of

__all__ = ["simulate"]

_PERIOD = 1e-6  # Amaranth's simulator wants one; nothing depends on it
_REPORT = 100  # cycles from one report of progress to the next


class _Driver:
    """One port's side of the handshake, cycle by cycle: what it drives, and what it has moved so far."""

    def __init__(self, component: wiring.Component, port: StreamPort, queue: list[int], total: int, gaps: Gaps | None):
        stream = stream_of(component, port.name)
        self.port, self.queue, self.total, self.gaps = port, queue, total, gaps
        self.payload, self.valid, self.ready = Value.cast(stream.payload).as_unsigned(), stream.valid, stream.ready
        self.restart()

    def restart(self) -> None:
        """Begin again from the first beat and the first pause."""
        self.moved: list[int] = []
        self.cycles: list[int] = []
        self.waiting: int | None = None  # the payload that was valid and not taken
        self.moves = False  # the pauses let this side move in this cycle
        if self.gaps is not None:
            self.gaps.restart()

    @property
    def done(self) -> bool:
        """Whether every beat has moved."""
        return len(self.cycles) >= self.total

    def drive(self, ctx: Any) -> None:
        """Set this side's signals for the coming cycle."""
        self.moves = self.gaps is None or self.gaps.toss()
        if self.port.direction == "in":
            valid = not self.done and (self.moves or self.waiting is not None)
            self.offer(ctx, valid, self.queue[len(self.cycles)] if valid else 0)
        else:
            self.moves &= self.gaps is None or not self.gaps.patient or self.waiting is not None
            ctx.set(self.ready, not self.done and self.moves)

    def offer(self, ctx: Any, valid: bool, payload: int) -> None:
        """Offer a payload to an input, or nothing."""
        ctx.set(self.valid, valid)
        if valid:
            ctx.set(self.payload, payload)

    def observe(self, cycle: int, valid: int, ready: int, payload: int) -> bool:
        """Take note of what was sampled at the cycle's end; returns whether a beat moved."""
        if self.waiting is not None and not (valid and payload == self.waiting):
            raise ProtocolError.at(cycle, self.port.name)
        moved = bool(valid and ready)
        self.waiting = payload if valid and not ready else None
        if moved:
            self.moved.append(payload)
            self.cycles.append(cycle)
        return moved


class _Memory:
    """A memory channel at its ports."""

    def __init__(self, model: ChannelModel, drivers: Mapping[str, _Driver]):
        self.model, self.drivers = model, drivers

    def drive(self, ctx: Any) -> None:
        """Set the signals of all its ports, after those of the ports themselves."""
        sides = {role: Side(driver.moves, driver.waiting is not None) for role, driver in self.drivers.items()}
        given, payload = self.model.drive(sides)
        for role, driver in self.drivers.items():
            if role == "data":
                driver.offer(ctx, given[role], payload)
            else:
                ctx.set(driver.ready, given[role])

    def observe(self, cycle: int) -> None:
        """Take note of what the ports have seen."""
        moved = {
            role: driver.moved[-1]
            for role, driver in self.drivers.items()
            if driver.cycles and driver.cycles[-1] == cycle
        }
        valid = {role: role in moved or driver.waiting is not None for role, driver in self.drivers.items()}
        self.model.observe(cycle, valid, moved)

    @property
    def owed(self) -> tuple[int, int]:
        """Beats that were asked for and have not moved: to be read, to be written."""
        return self.model.reads.left, self.model.writes.left


def simulate(
    component: wiring.Component,
    ports: Sequence[StreamPort],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, int],
    *,
    memories: Sequence[MemoryChannel] = (),
    gaps: int | None = None,
    reset_at: int | None = None,
    max_idle: int = 10_000,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Runs a component from reset until all ``inputs`` (beats by port) are taken and ``outputs`` (numbers of beats)
    are there.

    As `sim.verilator`'s run of its Verilog, cycle for cycle, pauses included.

    Raises:
        Deadlock: nothing moved for ``max_idle`` cycles, and no memory had an answer on its way.
        ProtocolError: an output did not hold its beat until it was accepted.
        MemoryFault: the component asked for what a memory does not hold.
        ValueError: the run ended before ``reset_at``, or ``memories`` do not fit the ports.
    """
    bound = bind(memories, ports)
    check_ports(free(ports, bound), inputs, outputs)
    queues = {name: [int.from_bytes(beat.tobytes(), "little") for beat in raw] for name, raw in inputs.items()}
    drivers = []
    for index, port in enumerate(ports):
        queue = queues.get(port.name, [])
        total = len(queue) if port.direction == "in" else outputs.get(port.name, 0)
        drivers.append(_Driver(component, port, queue, total, None if gaps is None else Gaps(gaps, index)))
    channels = []
    for index, (memory, places) in enumerate(zip(memories, bound, strict=True)):
        model = ChannelModel(memory, index, memory.timing.first_cycle(index, len(memories)))
        channels.append(_Memory(model, {role: drivers[place] for role, place in places.items()}))
    m = Module()
    m.domains.sync = sync = ClockDomain()
    m.submodules.component = component
    cycles = 0

    async def testbench(ctx: Any) -> None:
        nonlocal cycles
        if reset_at is not None:
            await _run_cycles(ctx, drivers, channels, reset_at, max_idle, progress)
            ctx.set(sync.rst, 1)
            await ctx.tick()
            ctx.set(sync.rst, 0)
            for driver in drivers:
                driver.restart()
            for channel in channels:
                channel.model.restart()
        cycles = await _run_cycles(ctx, drivers, channels, None, max_idle, progress)

    simulator = Simulator(m)
    simulator.add_clock(_PERIOD)
    simulator.add_testbench(testbench)
    with nullcontext() if waves is None else simulator.write_vcd(str(waves)):
        simulator.run()
    taken = {driver.port.name: driver for driver in drivers if driver.port.name in (*inputs, *outputs)}
    return RunResult(
        {name: _raw_beats(driver.moved, driver.port.words) for name, driver in taken.items() if name in outputs},
        {name: np.array(driver.cycles, np.int64) for name, driver in taken.items()},
        cycles,
        {channel.model.memory.name: channel.model.use for channel in channels},
    )


async def _run_cycles(
    ctx: Any,
    drivers: list[_Driver],
    channels: list[_Memory],
    stop: int | None,
    max_idle: int,
    progress: Progress | None,
) -> int:
    """Run until all drivers are done, or for `stop` cycles; returns how many cycles that took."""
    samples = [value for driver in drivers for value in (driver.valid, driver.ready, driver.payload)]
    cycle = idle = 0
    while cycle != stop and not all(driver.done for driver in drivers):
        for driver in drivers:
            driver.drive(ctx)
        for channel in channels:
            channel.drive(ctx)
        _, _, *sampled = await ctx.tick().sample(*samples)
        moved = [driver.observe(cycle, *sampled[3 * i : 3 * i + 3]) for i, driver in enumerate(drivers)]
        for channel in channels:
            channel.observe(cycle)
        cycle += 1
        # An answer on its way is no deadlock.
        idle = 0 if any(moved) or any(channel.model.answering for channel in channels) else idle + 1
        if progress is not None and cycle % _REPORT == 0:
            progress(cycle, {driver.port.name: len(driver.cycles) for driver in drivers})
        if idle == max_idle:
            progress_made = [(driver.port, len(driver.cycles), driver.total) for driver in drivers]
            raise Deadlock.at(cycle, idle, progress_made, {c.model.memory.name: c.owed for c in channels})
    if stop is not None and cycle != stop:
        raise ValueError(f"reset_at must be before the end of the run, at cycle {cycle}, not {stop}")
    return cycle


def _raw_beats(payloads: list[int], words: int) -> np.ndarray:
    """Payloads as beats [n, words]."""
    raw = b"".join(payload.to_bytes(words * 4, "little") for payload in payloads)
    return np.frombuffer(raw, "<u4").reshape(-1, words)
