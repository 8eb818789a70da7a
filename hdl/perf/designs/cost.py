"""What designs are judged by: the cycles of a workload."""

from collections.abc import Callable

from ..device import Device
from ..workload import Workload
from .design import Design
from .phase import Phase

__all__ = ["cycles_of", "generation_cycles", "work_cycles"]


def cycles_of(phase: Phase, design: Design, device: Device) -> float:
    """Cycles of a phase of a design with the memory of a device, at the device's clock."""
    given, beside = (device.sustained(drawn(device.memory)) for drawn in (design.bandwidth, design.cache_bandwidth))
    return phase.cycles_at(given, beside)


def generation_cycles(token: Callable[[int], float], first: int, middle: int, last: int) -> tuple[float, float]:
    """Cycles of a token on average, of tokens after ``first``, ``first`` + 1 ... ``last`` others, and by how much this
    may be wrong. A longer text never takes fewer cycles; so if both ends take the same, all between them do. If not,
    the token after ``middle`` others is looked at as well, and the two parts are taken to be straight lines."""
    ends = token(first), token(last)
    if ends[0] == ends[1]:
        return ends[0], 0.0
    between = token(middle)
    share = (middle - first) / (last - first)
    average = (ends[0] * share + between + ends[1] * (1 - share)) / 2
    # Of each part, half of what its ends differ by; the area between the corners of the line is no larger.
    return average, ((between - ends[0]) * share + (ends[1] - between) * (1 - share)) / 2


def work_cycles(design: Design, device: Device, workload: Workload) -> float:
    """Cycles of the prompts, one after the other, and of a run of all sequences for each token of the output.

    A token is the average of the first and the last. Where memory decides at first and attention at last, the middle
    would tell of neither.
    """
    prompts = workload.sequences * cycles_of(design.prefill(workload.prompt), design, device)
    if not workload.output:
        return prompts
    first, last = (
        cycles_of(design.decode(context, workload.sequences), design, device)
        for context in (workload.prompt, workload.length - 1)
    )
    return prompts + workload.output * (first + last) / 2
