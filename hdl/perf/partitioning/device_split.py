"""One way to divide a network over devices: the time of its work, and where the devices' time goes.

Sequences are decoded in as many groups as there are stages, if there are so many sequences; each stage works on one
group at a time. All time of all devices is accounted for: each device works, or sends, or waits; so what is lost
against fewer devices is the sum of causes that are read off the parts of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

from ..designs.phase import Phase
from .share import DeviceStage, Transfer

__all__ = [
    "BUBBLES", "CAUSES", "COMPUTE", "DIVISIBILITY", "LINK_BANDWIDTH", "LINK_LATENCY", "MEMORY", "ON_CHIP", "ROWS",
    "DeviceSplit", "bound", "largest", "lost",
]  # fmt: skip

COMPUTE = "compute"
"""Arrays whose passes are filled less well by smaller shares, and tiles by smaller groups of sequences."""
MEMORY = "memory bandwidth"
"""More bytes in all: weights that are read anew for each group of sequences, copies of keys and values."""
ROWS = "row-wise units"
"""What every device of a stage does on whole rows."""
LINK_LATENCY = "link latency"
LINK_BANDWIDTH = "link bandwidth"
BUBBLES = "pipeline bubbles"
"""Stages that wait because there are fewer groups of sequences in flight than stages."""
DIVISIBILITY = "divisibility of heads/layers"
"""Stages that wait for one with more layers or the head, and devices for which there is no share."""
ON_CHIP = "on-chip memory"
"""A gain: what newly fits on chip in smaller shares."""

CAUSES = (COMPUTE, MEMORY, ROWS, LINK_LATENCY, LINK_BANDWIDTH, BUBBLES, DIVISIBILITY, ON_CHIP)
"""All of them."""


class PhaseTime(NamedTuple):
    """A phase of the work in all stages: what it takes, ``turns`` of each stage in it, and how often it is repeated."""

    seconds: float
    turns: int
    times: int
    phases: tuple[Phase, ...]
    device_seconds: tuple[float, ...]
    links: tuple[Transfer, ...]

    @property
    def stage_seconds(self) -> list[float]:
        """A turn of each stage."""
        return [seconds + link.seconds for seconds, link in zip(self.device_seconds, self.links, strict=True)]


@dataclass(frozen=True)
class DeviceSplit:
    """``tensor`` devices in each of the ``stages``, which decode ``group`` of the ``sequences`` at once."""

    tensor: int
    stages: tuple[DeviceStage, ...]
    sequences: int
    group: int

    @property
    def devices(self) -> int:
        """Devices that have a share."""
        return self.tensor * len(self.stages)

    @property
    def output(self) -> int:
        """Output tokens of a sequence."""
        return self.stages[0].estimate.output

    @property
    def first_token(self) -> float:
        """Seconds of a prompt through all stages."""
        return sum(stage.prompt_seconds for stage in self.stages)

    @property
    def token(self) -> float | None:
        """Seconds from one token of a sequence to its next; None where none is decoded."""
        if self.stages[0].estimate.token is None:
            return None
        seconds = [stage.token_seconds for stage in self.stages]
        return max(sum(seconds), self.groups * max(seconds))

    @property
    def groups(self) -> int:
        """Groups of sequences in flight."""
        return ceil(self.sequences / self.group)

    @property
    def prompts(self) -> float:
        """Seconds of the prompts of all sequences, which follow one another through the stages."""
        slowest = max(stage.prompt_seconds for stage in self.stages)
        return self.first_token + (self.sequences - 1) * slowest

    @cached_property
    def seconds(self) -> float:
        """All of the work."""
        return sum(run.times * run.seconds for run in self.runs)

    @cached_property
    def runs(self) -> tuple[PhaseTime, ...]:
        """The prompts, and the tokens after the first."""
        estimates = [stage.estimate for stage in self.stages]
        prompts = PhaseTime(
            self.prompts, self.sequences, 1,
            tuple(one.prefill for one in estimates),
            tuple(one.first_token.seconds for one in estimates),
            tuple(stage.prompt_links for stage in self.stages),
        )  # fmt: skip
        if self.token is None:
            return (prompts,)
        tokens = PhaseTime(
            self.token, self.groups, self.output - 1,
            tuple(one.decode for one in estimates if one.decode),
            tuple(one.token.seconds for one in estimates if one.token),
            tuple(stage.token_links for stage in self.stages),
        )  # fmt: skip
        return prompts, tokens

    @cached_property
    def waits(self) -> dict[str, float]:
        """Seconds of all devices in which they send or wait, by cause."""
        found = dict.fromkeys((LINK_LATENCY, LINK_BANDWIDTH, BUBBLES, DIVISIBILITY), 0.0)
        for run in self.runs:
            stages = run.stage_seconds
            slowest, whole = max(stages), self.tensor * run.times
            found[BUBBLES] += whole * len(stages) * (run.seconds - run.turns * slowest)
            found[DIVISIBILITY] += whole * run.turns * (len(stages) * slowest - sum(stages))
            found[LINK_LATENCY] += whole * run.turns * sum(link.latency for link in run.links)
            found[LINK_BANDWIDTH] += whole * run.turns * sum(link.bandwidth for link in run.links)
        return found

    def work(self, run: PhaseTime) -> float:
        """Seconds of all devices in which they work, in a phase."""
        return self.tensor * run.times * run.turns * sum(run.device_seconds)

    def rows(self, run: PhaseTime) -> float:
        """Seconds of these that the row-wise units take by themselves."""
        cycles = sum(
            stage.layers * phase.stages.get("rows", 0) for stage, phase in zip(self.stages, run.phases, strict=True)
        )
        return self.tensor * run.times * run.turns * cycles / self._clock

    def bytes(self, run: PhaseTime) -> float:
        """What all devices read and write in a phase."""
        return self.tensor * run.times * run.turns * sum(phase.bytes for phase in run.phases)

    def memory_bound(self, run: PhaseTime) -> bool:
        """Whether the slowest stage waits for memory."""
        seconds, phase = max(zip(run.device_seconds, run.phases, strict=True), key=lambda pair: pair[0])
        return seconds > phase.cycles / self._clock * (1 + 1e-9)

    @property
    def _clock(self) -> float:
        return self.stages[0].estimate.clock_mhz * 1e6


def bound(split: DeviceSplit) -> str:
    """What the time of the devices themselves is spent on, most of it."""
    seconds: dict[str, float] = {}
    for run in split.runs:
        cause = MEMORY if split.memory_bound(run) else COMPUTE
        seconds[cause] = seconds.get(cause, 0.0) + split.work(run)
    return largest(seconds)


def lost(here: DeviceSplit, base: DeviceSplit) -> dict[str, float]:
    """Seconds of the devices by cause that ``here`` takes more than ``base``; less than 0 where it takes less."""
    waits = {cause: seconds - base.waits[cause] for cause, seconds in here.waits.items()}
    found = dict.fromkeys(CAUSES, 0.0) | waits
    runs = list(zip(here.runs, base.runs, strict=True))
    changes = [here.work(run) - base.work(other) for run, other in runs]
    if sum(changes) <= 0:
        found[ON_CHIP if _fits_more(here, base) else COMPUTE] = sum(changes)
        return found
    # A design may be chosen that is better in one phase and worse in the other: the sum is shared among the worse.
    share = sum(changes) / sum(change for change in changes if change > 0)
    for (run, other), change in zip(runs, changes, strict=True):
        more = share * max(0.0, change)
        rows = min(more, max(0.0, here.rows(run) - base.rows(other)))
        if here.memory_bound(run):
            found[MEMORY] += more
        else:
            found[ROWS] += rows
            found[COMPUTE] += more - rows
    return found


def _fits_more(here: DeviceSplit, base: DeviceSplit) -> bool:
    """Whether a share has on chip what was read from memory, or an array that there was no room for."""
    before, now = (split.stages[0].estimate.design for split in (base, here))
    fewer = any(here.bytes(run) < base.bytes(other) for run, other in zip(here.runs, base.runs, strict=True))
    return fewer or now.kind != before.kind or now.resources.dsp > before.resources.dsp


def largest(causes: Mapping[str, float]) -> str:
    """The cause that counts most."""
    return max(causes, key=lambda name: causes[name])
