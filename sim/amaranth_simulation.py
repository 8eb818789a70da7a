"""Runs a component whose ports are all streams in Amaranth's own simulator: slow, and nothing but Python is needed.

with InterpretedSimulation(component, ports) as simulation:      # on a live instance, as in sim/verilator.py
    simulation.run({"weights": weights}, {})
    simulation.run({"tokens": tokens}, {"output": 128})
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hdl.top.reset_tree import RESET_CYCLES
from sim.memory import MemoryChannel, bind, free
from sim.memory_model import ChannelModel, Side
from sim.simulation import Progress
from sim.streams import Deadlock, Gaps, ProtocolError, RunResult, StreamPort, check_ports, stream_of

__all__ = ["InterpretedSimulation", "simulate"]

_PERIOD = 1e-6  # Amaranth's simulator wants one; nothing depends on it
_BETWEEN = 1e-12  # what passes of the clock's period from a run to the next
_REPORT = 100  # cycles from one report of progress to the next


class _Driver:
    """One port's side of the handshake, cycle by cycle: what it drives, and what it has moved so far in a run."""

    def __init__(self, component: wiring.Component, port: StreamPort):
        stream = stream_of(component, port.name)
        self.port = port
        self.payload, self.valid, self.ready = Value.cast(stream.payload).as_unsigned(), stream.valid, stream.ready
        self.waiting: int | None = None  # the payload that was valid and not taken
        self.plan([], 0, None)

    def plan(self, queue: list[int], total: int, gaps: Gaps | None) -> None:
        """What to move in the run that comes: the payloads of an input, so many beats, with pauses."""
        self.queue, self.total, self.gaps = queue, total, gaps
        self.moved: list[int] = []
        self.cycles: list[int] = []
        self.moves = False  # the pauses let this side move in this cycle

    @property
    def done(self) -> bool:
        """Whether every beat has moved."""
        return len(self.cycles) >= self.total

    def still(self, ctx: Any) -> None:
        """Neither offers nor takes anything, nor knows of a beat that waited: in a reset."""
        self.waiting = None
        ctx.set(self.valid if self.port.direction == "in" else self.ready, 0)

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
            elif role == "acknowledged":
                driver.offer(ctx, given[role], 0)
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


class InterpretedSimulation:
    """A live instance of a component, whose state carries on from run to run, as `sim.simulation.Simulation` is one of
    its Verilog: cycle for cycle, pauses and memories included. Close it, or use it in a `with`."""

    def __init__(
        self, component: wiring.Component, ports: Sequence[StreamPort], *, memories: Sequence[MemoryChannel] = ()
    ):
        """Starts the component; raises ValueError where `memories` do not fit its `ports`."""
        bound = bind(memories, ports)
        self._free = free(ports, bound)
        self._drivers = [_Driver(component, port) for port in ports]
        self._channels = []
        for index, (memory, places) in enumerate(zip(memories, bound, strict=True)):
            model = ChannelModel(memory, index, memory.timing.first_cycle(index, len(memories)))
            self._channels.append(_Memory(model, {role: self._drivers[place] for role, place in places.items()}))
        self._component, self._sync = component, ClockDomain("sync")
        self._cycle = 0
        self._job: Callable[[Any], Awaitable[None]] | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """There is nothing to free."""

    def reset(self, cycles: int = RESET_CYCLES) -> None:
        """Hold the reset for some cycles, with no stream valid or ready; memories forget requests, not contents."""

        async def job(ctx: Any) -> None:
            for driver in self._drivers:
                driver.still(ctx)
            ctx.set(self._sync.rst, 1)
            for _ in range(cycles):
                await ctx.tick()
            ctx.set(self._sync.rst, 0)
            for channel in self._channels:
                channel.model.restart()

        self._carry_out(job)

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        expect: Mapping[str, int],
        *,
        gaps: int | None = None,
        max_idle: int = 100_000,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Go on until every input beat is accepted and every output has given the beats expected.

        Arguments and errors are those of `sim.simulation.Simulation.run`; ``waves`` can be written of the first run
        alone, and there is a report of ``progress`` every 100 cycles.

        Raises:
            ValueError: for waves of a later run.
        """
        self._begin(inputs, expect, gaps)
        with nullcontext() if waves is None else self._simulator.write_vcd(str(waves)):
            self._carry_out(lambda ctx: self._advance(ctx, None, max_idle, progress))
        taken = {driver.port.name: driver for driver in self._drivers if driver.port.name in (*inputs, *expect)}
        return RunResult(
            {name: _raw_beats(driver.moved, driver.port.words) for name, driver in taken.items() if name in expect},
            {name: np.array(driver.cycles, np.int64) for name, driver in taken.items()},
            self._cycle,
            {channel.model.memory.name: channel.model.use for channel in self._channels},
        )

    def run_cycles(
        self,
        inputs: Mapping[str, np.ndarray],
        expect: Mapping[str, int],
        cycles: int,
        *,
        gaps: int | None = None,
    ) -> None:
        """Run for exactly so many cycles and stop there, with beats in flight: a `reset` must follow.

        Raises ValueError if the run ends before.
        """
        self._begin(inputs, expect, gaps)
        self._carry_out(lambda ctx: self._advance(ctx, cycles, cycles + 1, None))
        if self._cycle < cycles:
            raise ValueError(f"reset_at must be before the end of the run, at cycle {self._cycle}, not {cycles}")

    @cached_property
    def _simulator(self) -> Simulator:
        """The simulator, made when it is first needed: elaborating the component takes long."""
        m = Module()
        m.domains += self._sync
        m.submodules.component = self._component
        simulator = Simulator(m)
        simulator.add_clock(_PERIOD)
        simulator.add_process(self._process)
        return simulator

    def _begin(self, inputs: Mapping[str, np.ndarray], expect: Mapping[str, int], gaps: int | None) -> None:
        check_ports(self._free, inputs, expect)
        for index, driver in enumerate(self._drivers):
            name = driver.port.name
            queue = [int.from_bytes(beat.tobytes(), "little") for beat in inputs.get(name, ())]
            total = len(queue) if driver.port.direction == "in" else expect.get(name, 0)
            driver.plan(queue, total, None if gaps is None else Gaps(gaps, index))
        for channel in self._channels:
            channel.model.begin()

    def _carry_out(self, job: Callable[[Any], Awaitable[None]]) -> None:
        """Lets the process do a job, and raises what went wrong in it."""
        self._job, self._failure = job, None
        while self._job is not None:
            self._simulator.advance()
        if self._failure is not None:
            raise self._failure

    async def _process(self, ctx: Any) -> None:
        """Does one job after the other, with no edge of the clock between them."""
        while True:
            if self._job is not None:
                try:
                    await self._job(ctx)
                except Exception as failure:
                    self._failure = failure
                self._job = None
            await ctx.delay(_BETWEEN)

    async def _advance(self, ctx: Any, stop: int | None, max_idle: int, progress: Progress | None) -> None:
        """Runs until all drivers are done, or for `stop` cycles."""
        drivers, channels = self._drivers, self._channels
        samples = [value for driver in drivers for value in (driver.valid, driver.ready, driver.payload)]
        self._cycle = idle = 0
        while self._cycle != stop and not all(driver.done for driver in drivers):
            for driver in drivers:
                driver.drive(ctx)
            for channel in channels:
                channel.drive(ctx)
            _, _, *sampled = await ctx.tick().sample(*samples)
            moved = [driver.observe(self._cycle, *sampled[3 * i : 3 * i + 3]) for i, driver in enumerate(drivers)]
            for channel in channels:
                channel.observe(self._cycle)
            self._cycle += 1
            # An answer on its way is no deadlock.
            idle = 0 if any(moved) or any(channel.model.answering for channel in channels) else idle + 1
            if progress is not None and self._cycle % _REPORT == 0:
                progress(self._cycle, {driver.port.name: len(driver.cycles) for driver in drivers})
            if idle == max_idle:
                made = [(driver.port, len(driver.cycles), driver.total) for driver in drivers]
                raise Deadlock.at(self._cycle, idle, made, {c.model.memory.name: c.owed for c in channels})


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
) -> RunResult:
    """One run of a fresh instance; see `InterpretedSimulation.run`.

    ``reset_at``: the cycle in which the design is reset; everything then begins again, and what came out is dropped.
    """
    with InterpretedSimulation(component, ports, memories=memories) as simulation:
        if reset_at is not None:
            simulation.run_cycles(inputs, outputs, reset_at, gaps=gaps)
            simulation.reset()
        return simulation.run(inputs, outputs, gaps=gaps, max_idle=max_idle, waves=waves)


def _raw_beats(payloads: list[int], words: int) -> np.ndarray:
    """Payloads as beats [n, words]."""
    raw = b"".join(payload.to_bytes(words * 4, "little") for payload in payloads)
    return np.frombuffer(raw, "<u4").reshape(-1, words)
