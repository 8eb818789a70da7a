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

import numpy as np

from hdl.channel import BEAT_BYTES
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from sim.streams import StreamPort

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


@dataclass(frozen=True, eq=False)
class MemoryChannel:
    """A channel: its ``name``, its ``contents`` uint8 [beats, 64], which the simulation reads and writes in place, and
    its ``timing``."""

    name: str
    contents: np.ndarray
    _: KW_ONLY
    timing: MemoryTiming = IDEAL

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
