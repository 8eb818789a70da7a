"""What all simulations of a design with streams have in common: its ports, the result, failures, random gaps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, TypeVar

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import stream, wiring

from sim import beats

Component = TypeVar("Component", bound=wiring.Component)

_PHASE = 32  # cycles for which a port keeps its pace


@dataclass(frozen=True)
class StreamPort:
    """A stream at the boundary of a design: Verilog's `<name>__payload`, `<name>__valid` and `<name>__ready`.

    `direction` is the design's view; `width` is the payload's, in bits.
    """

    name: str
    direction: Literal["in", "out"]
    width: int

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"stream port name must be an identifier, not {self.name!r}")
        if self.direction not in ("in", "out"):
            raise ValueError(f"stream port {self.name} direction must be 'in' or 'out', not {self.direction!r}")
        if self.width < 1:
            raise ValueError(f"stream port {self.name} width must be at least 1, not {self.width}")

    @property
    def words(self) -> int:
        """32-bit words of one beat."""
        return beats.words(self.width)


@dataclass
class MemoryUse:
    """What a channel did in a run: the bytes ``read`` and ``written``, and its cycles, each counted as the first that
    applies.

    ``refresh``: it refreshed itself. ``busy``: a beat moved. ``refused``: a beat was on offer, and the design did not
    take it. ``waiting``: there was a request, or a beat to be written, and the channel was not ready for it (latency,
    opening of a row, its rate). ``idle``: there was nothing to do.
    """

    read: int = 0
    written: int = 0
    refresh: int = 0
    busy: int = 0
    refused: int = 0
    waiting: int = 0
    idle: int = 0


@dataclass
class RunResult:
    """What a simulation observed.

    `outputs`: for every output asked for, its beats [n, words] uint32. `accepted`: for every port that took part, the
    cycle of each of its handshakes [n] int64; cycle 0 is the first cycle of the run (the first after a reset).
    `cycles`: how many cycles the run took. `memory`: what every memory channel did in them.
    """

    outputs: dict[str, np.ndarray]
    accepted: dict[str, np.ndarray]
    cycles: int
    memory: dict[str, MemoryUse] = field(default_factory=dict)


def check_ports(ports: Iterable[StreamPort], inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Raise ValueError if `inputs` or `outputs` names something that is not among the design's `ports`."""
    names = {direction: [port.name for port in ports if port.direction == direction] for direction in ("in", "out")}
    for direction, given in (("in", inputs), ("out", outputs)):
        for name in given:
            if name not in names[direction]:
                raise ValueError(f"{direction}put {name!r} is unknown; known: {', '.join(names[direction])}")


class Deadlock(RuntimeError):
    """Nothing moved on any port for too long; the message says which inputs and outputs have beats left."""

    @classmethod
    def at(
        cls, cycle: int, idle: int, progress: Iterable[tuple[StreamPort, int, int]], owed: Mapping[str, tuple[int, int]]
    ) -> "Deadlock":
        """The error of a run that stalled; `progress` and `owed` as in `unfinished`."""
        return cls(f"no handshake for {idle} cycles, at cycle {cycle}: {unfinished(progress, owed)}")


class ProtocolError(RuntimeError):
    """An output withdrew `valid`, or changed its payload, while it waited for `ready`."""

    @classmethod
    def at(cls, cycle: int, port: str) -> "ProtocolError":
        """The error of output `port` that did not hold its beat up to `cycle`."""
        return cls(f"output {port} did not hold valid and payload while waiting for ready, at cycle {cycle}")


def unfinished(progress: Iterable[tuple[StreamPort, int, int]], owed: Mapping[str, tuple[int, int]]) -> str:
    """What is missing, in words; `progress` is (port, beats moved, beats in all) for every port, `owed` by memory the
    beats to be read and to be written that were asked for and have not moved."""
    missing = []
    for port, moved, total in progress:
        if moved < total and port.direction == "in":
            missing.append(f"input {port.name} has {total - moved} of {total} beats left")
        elif moved < total:
            missing.append(f"output {port.name} gave {moved} of {total} beats")
    for name, (reading, writing) in owed.items():
        if reading:
            missing.append(f"memory {name} has {reading} beats that the design requested and did not take")
        if writing:
            missing.append(f"memory {name} was not given {writing} beats to write")
    return "; ".join(missing)


class Gaps:
    """The seeded random pauses of one port: the same in every simulator, so that they agree to the cycle.

    In every phase of 32 cycles the port moves in none, 1, 2, 3 or all of 4 cycles on average; in a quarter of the
    phases an output's consumer is `patient`: not ready before it has seen `valid`, which finds a design that waits for
    `ready` to be valid.
    """

    def __init__(self, seed: int, port_index: int) -> None:
        self.seed = (seed * 0x9E3779B9 + port_index * 0x85EBCA6B + 0x6C8E9CF5) & 0xFFFFFFFF or 1
        self.restart()

    def restart(self) -> None:
        """Begin the same pauses again."""
        self.patient = False
        self._state = self.seed
        self._cycle = 0
        self._pace = 0

    def toss(self) -> bool:
        """Whether the port moves in the next cycle; to be called once a cycle."""
        if self._cycle % _PHASE == 0:
            draw = self.draw()
            self._pace = draw % 5
            self.patient = draw // 5 % 4 == 0
        self._cycle += 1
        return self.draw() % 4 < self._pace

    def draw(self) -> int:
        """The next random number: xorshift32, without its lowest bits, which are the least random."""
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return state >> 8


def unused(component: Component) -> Component:
    """A component that is only asked for its ports, which Amaranth would warn about."""
    component._MustUse__used = True
    return component


def stream_ports(component: wiring.Component) -> dict[str, tuple[StreamPort, Any]]:
    """The ports of a component whose members are all streams: name -> (port, payload shape), in order of declaration.

    A member that is an array of streams gives a port an element, named as in Verilog: `outputs__0`, `outputs__1`.
    Raises TypeError if a member is not a stream.
    """
    ports: dict[str, tuple[StreamPort, Any]] = {}
    for name, member in component.signature.members.items():
        direction: Literal["in", "out"] = "in" if member.flow == wiring.In else "out"
        signature = None
        if member.is_signature:
            signature = member.signature if direction == "out" else member.signature.flip()
        if not isinstance(signature, stream.Signature):
            raise TypeError(f"member {name} of {type(component).__name__} must be a stream, not {member!r}")
        shape = signature.members["payload"].shape
        for index in product(*map(range, member.dimensions)):
            path = "__".join([name, *map(str, index)])
            ports[path] = StreamPort(path, direction, Shape.cast(shape).width), shape
    return ports


def stream_of(component: wiring.Component, port: str) -> Any:
    """The stream object behind a port's name, as `stream_ports` gives it."""
    member, *index = port.split("__") if port not in component.signature.members else [port]
    found = getattr(component, member)
    for i in index:
        found = found[int(i)]
    return found
