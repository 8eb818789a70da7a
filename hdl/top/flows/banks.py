"""The bank of memory of each port of a kernel."""

from collections.abc import Mapping

from ...card.image import HEADER_BEATS
from ...channel import BEAT_BYTES
from ...errors import InputError
from ...perf.device import Memory
from ..kernel.kernel_spec import HOST, KernelPort, KernelSpec

__all__ = ["HOST_BANK", "KNOWN_MASTERS", "banks", "buffer_beats"]

HOST_BANK = 0
"""The bank of requests and answers, beside the parameters."""

KNOWN_MASTERS = 30
"""The most masters on an HBM that v++ is known to link: it refused more for a platform of the U50 (issue 75 of
Vitis_Accel_Examples). What later platforms take is not known."""


def banks(spec: KernelSpec, memory: Memory) -> Mapping[str, int]:
    """The bank of each port, by the port's name: the channels of the image from bank 0 on, then those of keys and
    values, a bank for each.

    Raises:
        InputError: for more channels than there are banks, and a channel that is larger than a bank.
    """
    channels = [port for port in spec.ports if port.name != HOST]
    if len(channels) > memory.ports:
        raise InputError(
            f"memory channels of a kernel must be at most {memory.ports}, the banks of {memory.name}, not "
            f"{len(channels)}; choose a smaller --share"
        )
    size = int(memory.capacity_gb * 1e9 / memory.ports)
    for port in channels:
        if (needed := buffer_beats(port) * BEAT_BYTES) > size:
            raise InputError(
                f"channel {port.name} must have at most {size:,} bytes, a bank of {memory.name}, not {needed:,}; "
                "choose a larger --share"
            )
    return {HOST: HOST_BANK} | {port.name: bank for bank, port in enumerate(channels)}


def buffer_beats(port: KernelPort) -> int:
    """The beats of the buffer of a channel: of one of the image with its header."""
    return port.beats + (HEADER_BEATS if port.image else 0)
