"""Off-chip memory in simulation: what lies in a channel, when it answers, and what became of its cycles.

A design that asks for its data itself has, for a memory NAME, the streams

    NAME_requests  out  {address: unsigned(32), beats: unsigned(9)}   `NAME_data`     in   512 bits
    NAME_writes    out  {address: unsigned(32), beats: unsigned(9)}   `NAME_written`  out  {512 bits, 64 strobes}
                                                                      `NAME_acknowledged`  in  1 bit

the upper two to read, the others to write, or all. Of a written beat the bytes with a strobe are kept. A design may do
without the last, which answers each write. Addresses count beats of 64 bytes, a request is for 1 to 256
of them, data come in the order of the requests. Of arrays of streams, the memory `NAME__0` has `NAME_requests__0`, etc.

A channel moves one beat a cycle at the most. The model, the same in both simulators to the cycle:

* A request waits in a queue, one for reading and one for writing, each of `outstanding` bursts; a burst leaves it with
  its last beat. The first beat of a read is on offer `latency` cycles after the request at the earliest; written beats
  are taken from the next cycle on.
* A burst that does not begin where the one before it ended opens a row first, once it has come to the front, for
  `activation` cycles. (In order, the next row opens unseen in another bank.)
* Reading and writing share the `rate`: of two beats that could move, one written that has waited goes first. What is
  read is what the memory holds when the beat is first on offer, so that a read asked for after the last beat of a write
  has been taken sees it.
* With `NAME_acknowledged`, a write is answered at the earliest `latency` cycles after its last beat, in the order of
  the requests; only with the answer the memory holds it.
* For the last `refresh` of every `refresh_interval` cycles no beat comes on offer or is taken, and no row opens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Self

import numpy as np

from hdl.perf.device import Memory
from sim.streams import StreamPort

BEAT_BYTES = 64
ADDRESS_BITS = 32
MAX_BEATS = 256
REQUEST_BITS = ADDRESS_BITS + MAX_BEATS.bit_length()
ROLES = {
    "requests": ("out", REQUEST_BITS),
    "data": ("in", 512),
    "writes": ("out", REQUEST_BITS),
    "written": ("out", 512 + BEAT_BYTES),
    "acknowledged": ("in", 1),
}
"""Direction and width of a memory's ports, by what comes after its name."""


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """When a channel answers, in cycles of the design's clock; without arguments, ideal: a beat a cycle, at once.

    ``rate``: beats a cycle, over 0 and up to 1. ``latency``, ``activation``, ``refresh``, ``refresh_interval`` (0: no
    refresh) and ``outstanding``: see `sim.memory`. For tests, with a ``seed``: answers up to ``late`` cycles later than
    the latency, and pauses between beats as `sim.streams.Gaps` has them.
    """

    rate: Fraction = Fraction(1)
    latency: int = 1
    activation: int = 0
    refresh: int = 0
    refresh_interval: int = 0
    outstanding: int = 16
    late: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"memory rate must be over 0 and up to 1 beat a cycle, not {self.rate}")
        for name, least in (("latency", 1), ("activation", 0), ("refresh", 0), ("outstanding", 1), ("late", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"memory {name} must be at least {least}, not {getattr(self, name)}")
        if self.refresh and self.refresh_interval <= self.refresh:
            interval = self.refresh_interval
            raise ValueError(f"memory refresh must be shorter than its interval of {interval}, not {self.refresh}")
        if self.late and self.seed is None:
            raise ValueError(f"memory that is up to {self.late} cycles late must have a seed")

    @classmethod
    def of(cls, memory: Memory, clock_mhz: int) -> Self:
        """A port of a device's memory for a design at that clock, times rounded to the worse side.

        Raises:
            ValueError: for a memory without timing.
        """
        if memory.timing is None:
            raise ValueError(f"memory {memory.name} must have a timing; its device's file has none")
        beats_a_second = Fraction(str(memory.bandwidth_gb_s)) * 10**9 / memory.ports / BEAT_BYTES
        cycles_a_ns = Fraction(clock_mhz, 1000)
        timing = memory.timing
        return cls(
            rate=min(Fraction(1), beats_a_second / (clock_mhz * 10**6)),
            latency=ceil(Fraction(str(timing.latency_ns)) * cycles_a_ns),
            activation=ceil(Fraction(str(timing.activation_ns)) * cycles_a_ns),
            refresh=ceil(Fraction(str(timing.refresh_ns)) * cycles_a_ns),
            refresh_interval=floor(Fraction(str(timing.refresh_interval_ns)) * cycles_a_ns),
        )


@dataclass(frozen=True, eq=False)
class MemoryChannel:
    """A channel: its ``name``, its ``contents`` uint8 [beats, 64], which the simulation reads and writes in place, and
    its ``timing``."""

    name: str
    contents: np.ndarray
    _: KW_ONLY
    timing: MemoryTiming = MemoryTiming()

    def __post_init__(self) -> None:
        contents = self.contents
        if contents.dtype != np.uint8 or contents.shape[1:] != (BEAT_BYTES,) or not contents.flags.c_contiguous:
            is_type = f"{contents.dtype} {list(contents.shape)}"
            raise ValueError(
                f"contents of memory {self.name} must be contiguous uint8 [n, {BEAT_BYTES}], not {is_type}"
            )

    def ports(self, ports: Sequence[StreamPort]) -> dict[str, int]:
        """Where among a design's ports its own are, by role.

        Raises:
            ValueError: where the design has none, half of a pair, or some of another direction or width.
        """
        base, separator, index = self.name.partition("__")
        places = {port.name: place for place, port in enumerate(ports)}
        found = {}
        for role, kind in ROLES.items():
            name = f"{base}_{role}{separator}{index}"
            if name in places:
                port = ports[places[name]]
                if (port.direction, port.width) != kind:
                    wanted, is_kind = f"{kind[0]}put of {kind[1]} bits", f"{port.direction}put of {port.width}"
                    raise ValueError(f"port {name} of memory {self.name} must be an {wanted}, not an {is_kind}")
                found[role] = places[name]
        paired = ("requests" in found) == ("data" in found) and ("writes" in found) == ("written" in found)
        if not found or not paired or ("acknowledged" in found and "writes" not in found):
            has = ", ".join(found) or "none"
            raise ValueError(
                f"memory {self.name} must have ports requests and data, writes and written, or all, not {has}"
            )
        if "written" in found and not self.contents.flags.writeable:
            raise ValueError(f"contents of memory {self.name} must be writeable: the design writes")
        return found


class MemoryFault(RuntimeError):
    """A request for what a memory does not hold."""

    @classmethod
    def at(cls, cycle: int, memory: MemoryChannel, address: int, beats: int) -> "MemoryFault":
        """The error of a request in ``cycle``."""
        return cls(
            f"a request to memory {memory.name} must be for 1 to {MAX_BEATS} beats and end within its "
            f"{len(memory.contents)}, not for {beats} from address {address}, at cycle {cycle}"
        )


def bind(memories: Sequence[MemoryChannel], ports: Sequence[StreamPort]) -> list[dict[str, int]]:
    """The places of every memory's ports, by role; raises ValueError where two memories have one name."""
    names = [memory.name for memory in memories]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"memories must have different names, not {name} twice")
    return [memory.ports(ports) for memory in memories]


def free(ports: Sequence[StreamPort], bound: Iterable[dict[str, int]]) -> list[StreamPort]:
    """The ports that no memory is bound to."""
    taken = {place for places in bound for place in places.values()}
    return [port for place, port in enumerate(ports) if place not in taken]


def first_cycle(memory: MemoryChannel, place: int, count: int) -> int:
    """Where in its refresh interval the ``place``-th of ``count`` channels begins: spread evenly, for independent
    controllers do not refresh at once."""
    return memory.timing.refresh_interval * place // count
