"""A stand-in for XRT's Python module: the calls that the driver uses, on a kernel in Verilator instead of a card.

The kernel is the emitted Verilog, and is reached through its AXI ports only (`sim.kernel_bench`). Each argument with a
pointer has a memory bank of 256 MB of its own, with the timing that is given.
"""

from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from hdl.card.registers import ControlBits
from hdl.channel import BEAT_BYTES
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.top.emitter import Emitter
from hdl.top.kernel.kernel_spec import KernelSpec
from hdl.top.kernel.pins import KernelPins
from sim import beats
from sim.kernel_bench import ACCESS, ANSWERED, BANK_BITS, KernelBench
from sim.memory import MemoryChannel
from sim.streams import stream_ports, unused
from sim.verilator import build

__all__ = ["CYCLES_A_MS", "SimulatedXrt"]

CYCLES_A_MS = 20_000
"""Cycles that a wait of a millisecond simulates: less than the card's, so that a caller sees answers come."""

MAX_IDLE = 1_000_000
PAGE = 4096


class State(Enum):
    """The states of a run."""

    ERT_CMD_STATE_NEW = 1
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_ERROR = 5
    ERT_CMD_STATE_ABORT = 6
    ERT_CMD_STATE_TIMEOUT = 8
    ERT_CMD_STATE_NORESPONSE = 9


class Direction(Enum):
    """The directions of a transfer."""

    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class SimulatedXrt:
    """What the driver takes instead of the module ``pyxrt``. Close it, or use it in a `with`.

    Args:
        spec: the kernel.
        timing: when memory answers; by default at once.
        threads: threads of the simulation.
        optimise: the effort of the C++ compiler.
    """

    ert_cmd_state = State
    xclBOSyncDirection = Direction

    def __init__(
        self, spec: KernelSpec, *, timing: MemoryTiming = IDEAL, threads: int = 2, optimise: str = "-O1"
    ) -> None:
        self.spec = spec
        sources = Emitter().emit(KernelPins(spec), spec.name) | Emitter().emit(KernelBench(spec), "bench")
        ports = [port for port, _ in stream_ports(unused(KernelBench(spec))).values()]
        design = build(sources, "bench", ports, threads=threads, trace=False, optimise=optimise)
        self.banks = {port.name: np.zeros(1 << BANK_BITS, np.uint8) for port in spec.ports}
        contents = {name: bank.reshape(-1, BEAT_BYTES) for name, bank in self.banks.items()}
        self.simulation = design.start(
            memories=[MemoryChannel(name, own, timing=timing) for name, own in contents.items()]
        )
        self.free = [PAGE for _ in spec.ports]  # the first byte of each bank that no buffer has
        self.kernel, self.bo = Kernels(self), Buffers(self)

    def __enter__(self) -> "SimulatedXrt":
        return self

    def __exit__(self, *error: object) -> None:
        self.simulation.close()

    def device(self, index: int) -> SimpleNamespace:
        """The card."""
        return SimpleNamespace(index=index, load_xclbin=lambda xclbin: xclbin)

    @staticmethod
    def xclbin(path: str) -> str:
        """A configuration: any."""
        return path

    def run(self, kernel: Any) -> "SimulatedRun":
        """A run of the kernel."""
        return SimulatedRun(self)


class Kernels:
    """What makes kernels: ``kernel`` of the module."""

    cu_access_mode = SimpleNamespace(exclusive=0)

    def __init__(self, xrt: SimulatedXrt):
        self._xrt = xrt

    def __call__(self, device: Any, uuid: Any, name: str, mode: int) -> SimpleNamespace:
        """The kernel of a name."""
        spec = self._xrt.spec
        if name != spec.name:
            raise RuntimeError(f"No such kernel '{name}'")
        groups = {pointer: number for number, port in enumerate(spec.ports) for pointer in port.pointers}
        return SimpleNamespace(group_id=lambda place: groups[spec.registers.arguments[place].name])


class Buffers:
    """What makes buffers: ``bo`` of the module."""

    normal = 0

    def __init__(self, xrt: SimulatedXrt):
        self._xrt = xrt

    def __call__(self, device: Any, size: int, flags: int, group: int) -> "SimulatedBuffer":
        """A buffer in the bank of that number."""
        place = self._xrt.free[group]
        self._xrt.free[group] += -(-size // PAGE) * PAGE
        if self._xrt.free[group] > 1 << BANK_BITS:
            raise RuntimeError("failed to allocate a buffer")
        bank = list(self._xrt.banks.values())[group]
        return SimulatedBuffer(bank[place : place + size], group << BANK_BITS | place)


class SimulatedBuffer:
    """A buffer: its contents on the host and, in ``memory``, on the card."""

    def __init__(self, memory: np.ndarray, address: int):
        self._memory, self._address, self._contents = memory, address, np.zeros_like(memory)

    def address(self) -> int:
        """The address on the card."""
        return self._address

    def size(self) -> int:
        """Bytes."""
        return len(self._contents)

    def write(self, given: Any, seek: int) -> None:
        """Changes the host's contents."""
        raw = np.frombuffer(given, np.uint8)
        self._contents[seek : seek + len(raw)] = raw

    def read(self, size: int, skip: int) -> np.ndarray:
        """The host's contents."""
        return self._contents[skip : skip + size].view(np.int8).copy()

    def sync(self, direction: Direction, size: int | None = None, offset: int = 0) -> None:
        """Brings contents to the card or back."""
        part = slice(offset, None if size is None else offset + size)
        if direction is Direction.XCL_BO_SYNC_BO_TO_DEVICE:
            self._memory[part] = self._contents[part]
        else:
            self._contents[part] = self._memory[part]


class SimulatedRun:
    """A run. It uses the control registers as XRT does for ap_ctrl_chain."""

    def __init__(self, xrt: SimulatedXrt):
        self._xrt = xrt
        self._registers = xrt.spec.registers
        for name in ("interrupt_enable", "interrupt_sources"):
            self.write(self._registers[name].offset, 1)

    def set_arg(self, place: int, value: Any) -> None:
        """Sets an argument: a buffer, or a number of 32 bits with its sign."""
        register = self._registers[self._registers.arguments[place].name]
        number = value if isinstance(value, int) else value.address()
        for offset, bit in register.words:
            self.write(offset, number >> bit & 0xFFFF_FFFF)

    def start(self) -> None:
        """Starts the kernel."""
        self.write(0, 1 << ControlBits.START)

    def wait(self, timeout_ms: int) -> State:
        """Simulates until the kernel interrupts, for a while at most; 0: without an end."""
        try:
            cycles = timeout_ms * CYCLES_A_MS or None
            self._xrt.simulation.run({}, {"interrupts": 1}, max_cycles=cycles, max_idle=MAX_IDLE)
        except TimeoutError:
            return State.ERT_CMD_STATE_TIMEOUT
        status = self._registers["interrupt_status"].offset
        self.write(status, self.read(status))
        assert self.read(0) >> ControlBits.DONE & 1
        self.write(0, 1 << ControlBits.CONTINUE)
        return State.ERT_CMD_STATE_COMPLETED

    def write(self, address: int, value: int) -> None:
        """Writes a register."""
        self._access(address, value, write=1)

    def read(self, address: int) -> int:
        """Reads a register."""
        return self._access(address, 0, write=0)

    def _access(self, address: int, value: int, *, write: int) -> int:
        access = beats.encode(ACCESS, {"address": [address], "data": [value], "write": [write]})
        result = self._xrt.simulation.run({"accesses": access}, {"answered": 1})
        answer = beats.decode(ANSWERED, result.outputs["answered"])
        if answer["response"][0]:
            raise RuntimeError(f"access to register {address:#x} was answered with an error")
        return int(answer["data"][0])
