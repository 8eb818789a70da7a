"""A live instance of a verilated design: the Python side of sim/driver.cpp."""

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from hdl.errors import InputError
from hdl.top.reset_tree import RESET_CYCLES
from sim.memory import MemoryChannel, bind, free
from sim.memory_binding import SIGNATURES, MemoryBinding
from sim.streams import Deadlock, Gaps, ProtocolError, RunResult, StreamPort, check_ports, unfinished

# Status in driver.cpp; 0 and above is the port that broke the protocol
_RUNNING, _DONE, _IDLE, _FAILED, _FAULT = -1, -2, -3, -4, -5
_CHUNK_SECONDS = 0.5  # about how often progress is reported and an interrupt is noticed


@dataclass(frozen=True)
class Repeated:
    """An input of `times` repetitions of `beats` [n, words], which are not copied for it."""

    beats: np.ndarray
    times: int


Inputs = Mapping[str, np.ndarray | Repeated]
Progress = Callable[[int, Mapping[str, int]], None]


class LiveSimulation(Protocol):
    """What a live instance can do in either simulator; `Simulation` says what each means."""

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
        """Runs beats by port, until so many beats by port have come."""

    def run_cycles(
        self, inputs: Mapping[str, np.ndarray], expect: Mapping[str, int], cycles: int, *, gaps: int | None = None
    ) -> None:
        """Runs for so many cycles; a reset must follow."""

    def reset(self, cycles: int = RESET_CYCLES) -> None:
        """Resets the design."""

    def close(self) -> None:
        """Frees the instance."""


class Simulation:
    """A live instance of a verilated design; its state carries on from run to run. Close it, or use it in a `with`."""

    def __init__(
        self, library: Path, ports: Sequence[StreamPort], *, trace: bool, memories: Sequence[MemoryChannel] = ()
    ):
        """Starts the design of a `library`; raises ValueError where `memories` do not fit its `ports`."""
        self._ports = tuple(ports)
        self._trace = trace
        bound = bind(memories, ports)
        self._free = free(ports, bound)
        self._library = _load(library)
        self._handle: int | None = self._library.design_start()
        self._memory = MemoryBinding(self._library, self._live(), memories, bound)
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the instance."""
        if self._handle is not None:
            self._library.design_stop(self._handle)
            self._handle = None

    def reset(self, cycles: int = RESET_CYCLES) -> None:
        """Hold the reset for some cycles, and wait as long, with no stream valid or ready; memories forget requests,
        not contents."""
        self._check(self._library.design_reset(self._live(), cycles))

    def run(
        self,
        inputs: Inputs,
        expect: Mapping[str, int],
        *,
        gaps: int | None = None,
        max_idle: int = 100_000,
        max_cycles: int | None = None,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Go on until every input beat is accepted and every output has given the beats expected.

        Args:
            inputs: beats [n, words] uint32 by port (see `sim.beats`). Ports that are left out stay invalid.
            expect: how many beats to take by port. A port is not ready before its first nor after its last beat wanted.
            gaps: seed of the random pauses on all ports (see `sim.streams.Gaps`); None: always valid, always ready.
            max_idle: cycles without a handshake on any port after which the run is given up; those in which a memory
                has an answer on its way do not count.
            max_cycles: cycles after which the run is given up anyway.
            waves: a VCD file to write; the design must have been built with `trace`.
            progress: called about twice a second with the cycle and, by port, the beats moved so far.

        Raises:
            Deadlock: nothing moved for `max_idle` cycles.
            TimeoutError: the run took over `max_cycles` cycles.
            ProtocolError: an output did not hold its beat until it was accepted.
            MemoryFault: the design asked for what a memory does not hold.
        """
        plan = self._begin(inputs, expect, gaps)
        if waves is not None:
            self._open_waves(waves)
        try:
            self._advance(max_idle, max_cycles, progress)
        finally:
            if waves is not None:
                self._library.design_close_waves(self._handle)
        return RunResult(
            {name: plan[name].beats for name in expect},
            {name: plan[name].cycles for name in (*inputs, *expect)},
            self._cycle,
            self._memory.use,
        )

    def run_cycles(self, inputs: Inputs, expect: Mapping[str, int], cycles: int, *, gaps: int | None = None) -> None:
        """Run for exactly so many cycles and stop there, with beats in flight: a `reset` must follow.

        Raises ValueError if the run ends before.
        """
        self._begin(inputs, expect, gaps)
        self._step(cycles, cycles + 1)
        if self._cycle < cycles:
            raise ValueError(f"reset_at must be before the end of the run, at cycle {self._cycle}, not {cycles}")

    @property
    def _cycle(self) -> int:
        return int(self._library.design_cycle(self._handle))

    def _begin(self, inputs: Inputs, expect: Mapping[str, int], gaps: int | None) -> dict[str, "_Moves"]:
        check_ports(self._free, inputs, expect)
        self._plan = _plan(self._ports, inputs, expect)  # the library keeps pointers into it
        self._library.design_begin(self._live())
        for index, moves in enumerate(self._plan.values()):
            seed = 0 if gaps is None else Gaps(gaps, index).seed
            source = (moves.beats.ctypes.data, moves.beats.strides[0], len(moves.beats))
            self._library.design_plan(self._handle, index, *source, len(moves.cycles), moves.cycles.ctypes.data, seed)
        return self._plan

    def _advance(self, max_idle: int, max_cycles: int | None, progress: Progress | None) -> None:
        chunk, status = 1000, _RUNNING
        while status == _RUNNING:
            if self._cycle == max_cycles:
                missing = unfinished(self._progress(), self._memory.owed)
                raise TimeoutError(f"the run must end within {max_cycles} cycles; {missing}")
            started = time.monotonic()
            status = self._step(chunk if max_cycles is None else min(chunk, max_cycles - self._cycle), max_idle)
            seconds = max(1e-6, time.monotonic() - started)
            chunk = max(1, round(chunk * min(2.0, _CHUNK_SECONDS / seconds)))
            if progress is not None:
                progress(self._cycle, {port.name: moved for port, moved, _ in self._progress()})
        if status == _IDLE:
            raise Deadlock.at(self._cycle, max_idle, self._progress(), self._memory.owed)

    def _step(self, cycles: int, max_idle: int) -> int:
        return self._check(self._library.design_run(self._handle, cycles, max_idle))

    def _check(self, status: int) -> int:
        if status == _FAILED:
            raise RuntimeError(
                f"the simulation failed at cycle {self._cycle}: {self._library.design_failure().decode()}"
            )
        if status == _FAULT:
            raise self._memory.fault(self._cycle)
        if status >= 0:
            raise ProtocolError.at(self._cycle, self._ports[status].name)
        return status

    def _live(self) -> int:
        if self._handle is None:
            raise ValueError("a simulation must not be used after it was closed")
        return self._handle

    def _progress(self) -> list[tuple[StreamPort, int, int]]:
        moves = zip(self._ports, self._plan.values(), strict=True)
        return [
            (port, int(self._library.design_moved(self._handle, index)), len(move.cycles))
            for index, (port, move) in enumerate(moves)
        ]

    def _open_waves(self, path: Path) -> None:
        if not self._trace:
            raise ValueError("a design must be built with trace=True to write waves")
        if not self._library.design_open_waves(self._handle, str(path).encode()):
            raise InputError(f"waves file {path} cannot be written; choose a file in a folder that can")


@dataclass(frozen=True)
class _Moves:
    """What one port moves in a run: its beats [n, words], and a cycle for each handshake [n * repetitions]."""

    beats: np.ndarray
    cycles: np.ndarray


def _plan(ports: Sequence[StreamPort], inputs: Inputs, expect: Mapping[str, int]) -> dict[str, _Moves]:
    """The moves of every port, in order. Raises ValueError for beats of the wrong shape."""
    plan = {}
    for port in ports:
        given = inputs.get(port.name, np.empty((0, port.words), np.uint32))
        beats, times = (given.beats, given.times) if isinstance(given, Repeated) else (given, 1)
        if port.direction == "out":
            beats = np.zeros((expect.get(port.name, 0), port.words), np.uint32)
        if beats.dtype != np.uint32 or beats.shape[1:] != (port.words,):
            is_type = f"{beats.dtype} {list(beats.shape)}"
            raise ValueError(f"beats of {port.name} must be uint32 [n, {port.words}], not {is_type}")
        unused = 32 * port.words - port.width
        if unused and (beats[:, -1] >> np.uint32(32 - unused)).any():
            raise ValueError(f"beats of {port.name} must be zero above bit {port.width - 1}")
        plan[port.name] = _Moves(np.ascontiguousarray(beats), np.zeros(len(beats) * times, np.int64))
    return plan


@cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, count = ctypes.c_void_p, ctypes.c_uint64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "design_start": (pointer, []),
        "design_stop": (None, [pointer]),
        "design_reset": (ctypes.c_int, [pointer, ctypes.c_uint]),
        "design_begin": (None, [pointer]),
        "design_run": (ctypes.c_int, [pointer, count, count]),
        "design_cycle": (count, [pointer]),
        "design_moved": (count, [pointer, ctypes.c_int]),
        "design_plan": (None, [pointer, ctypes.c_int, pointer, count, count, count, pointer, ctypes.c_uint32]),
        "design_failure": (ctypes.c_char_p, []),
        "design_open_waves": (ctypes.c_int, [pointer, ctypes.c_char_p]),
        "design_close_waves": (None, [pointer]),
        **SIGNATURES,
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
