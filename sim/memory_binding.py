"""The memory channels of a verilated design: what Python shares with sim/memory.h."""

import ctypes
from collections.abc import Mapping, Sequence

from sim.memory import ROLES, MemoryChannel, MemoryFault
from sim.streams import Gaps, MemoryUse

SIGNATURES = {
    "design_memory": (
        None,
        [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint64,
            *[ctypes.c_int] * len(ROLES),
        ],
    ),
    "design_owed": (ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
}
"""Result and arguments of the library's functions."""

_USE = ("read", "written", "refresh", "busy", "refused", "waiting", "idle")


# The structures are laid out as those in sim/memory.h.
class _Timing(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("rate_beats", "rate_cycles", "latency", "activation", "refresh"),
            *("refresh_interval", "outstanding", "late", "seed", "first_cycle"),
        )
    )


class _State(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in (*_USE, "fault_address", "fault_beats"))


class MemoryBinding:
    """The channels of a live instance, bound to its ports for as long as it lives."""

    def __init__(
        self,
        library: ctypes.CDLL,
        handle: int,
        memories: Sequence[MemoryChannel],
        bound: Sequence[Mapping[str, int]],
    ):
        """``bound``: as `sim.memory.bind` gives it."""
        self._library, self._handle, self._memories = library, handle, tuple(memories)
        self._states = [_State(fault_beats=-1) for _ in memories]  # the library keeps references to them
        for index, (memory, state, places) in enumerate(zip(memories, self._states, bound, strict=True)):
            timing = _timing(memory, index, memory.timing.first_cycle(index, len(memories)))
            library.design_memory(
                *(handle, ctypes.byref(timing), ctypes.byref(state), memory.contents.ctypes.data, len(memory.contents)),
                *(places.get(role, -1) for role in ROLES),
            )

    @property
    def use(self) -> dict[str, MemoryUse]:
        """What the channels have done since the run began, by name."""
        return {
            memory.name: MemoryUse(**{name: getattr(state, name) for name in _USE})
            for memory, state in zip(self._memories, self._states, strict=True)
        }

    def fault(self, cycle: int) -> MemoryFault:
        """The error of the request that was beyond a memory's contents, in ``cycle``."""
        for memory, state in zip(self._memories, self._states, strict=True):
            if state.fault_beats >= 0:
                return MemoryFault.at(cycle, memory, state.fault_address, state.fault_beats)
        raise AssertionError("a fault must be one channel's")

    @property
    def owed(self) -> Mapping[str, tuple[int, int]]:
        """By name, the beats that were asked for and have not moved: to be read, to be written."""
        counts = {}
        for index, memory in enumerate(self._memories):
            reading, writing = (self._library.design_owed(self._handle, index, writing) for writing in (0, 1))
            counts[memory.name] = (int(reading), int(writing))
        return counts


def _timing(memory: MemoryChannel, index: int, first: int) -> _Timing:
    timing = memory.timing
    rate = timing.rate
    return _Timing(
        rate_beats=rate.numerator,
        rate_cycles=rate.denominator,
        latency=timing.latency,
        activation=timing.activation,
        refresh=timing.refresh,
        refresh_interval=timing.refresh_interval,
        outstanding=timing.outstanding,
        late=timing.late,
        seed=0 if timing.seed is None else Gaps(timing.seed, index).seed,
        first_cycle=first,
    )
