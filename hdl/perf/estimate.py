"""Estimates of a network on a device: time, throughput and energy, with the limits of compute and memory.

from hdl.perf import estimate
found = estimate("gpt2", "u280", prompt=128, output=64)
found.first_token.seconds, found.token.seconds, found.tokens_a_second, found.joules_a_token
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InputError
from ..model.load import load_network
from ..model.network import Network
from ..model.weightbits import WeightBits
from ..resources import Resources
from .choice.choose import choose
from .designs.constraints import Constraint, constraints
from .designs.cost import cycles_of, generation_cycles
from .designs.design import Design
from .designs.phase import Phase
from .designs.spatial_design import SpatialDesign
from .device import Device, load_device
from .geometry.decoder_spec import DecoderSpec
from .limits import Limits
from .memory_timing import MemoryTiming
from .schedule.decoder_schedule import counted_decoder_cycles
from .workload import Workload

__all__ = ["FAMILIES", "Estimate", "Timing", "check_device", "estimate", "estimate_design"]

FAMILIES = ("ultrascale+", "versal")
"""FPGAs whose DSPs do what the kernels' cascades ask, two int8 products each: the DSP48E2 and its successor."""

ESTIMATE_ERROR = 0.07
"""By what share the estimates of a decoder's cycles may be off those that are counted, which a test holds."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """``seconds`` of a phase, and the shortest times that the device allows: ``compute_limit`` with two products per
    cycle in each DSP of the design, ``memory_limit`` at the peak bandwidth."""

    seconds: float
    compute_limit: float
    memory_limit: float

    @property
    def limit(self) -> float:
        """The longer of both limits."""
        return max(self.compute_limit, self.memory_limit)

    @property
    def bound(self) -> str:
        """The name of the longer limit."""
        return "compute" if self.compute_limit >= self.memory_limit else "memory"

    @property
    def ratio(self) -> float:
        """The share of the limit that is reached."""
        return self.limit / self.seconds


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Time, throughput and energy of a design for a workload on a device.

    ``refusal``: why `emit` makes no design for the workload, so that this one is only estimated; empty if `emit` makes
    it. ``device``: at the clock of the workload, which is an assumption. ``first_token``: the whole prompt; for an
    encoder the whole text. ``token``: one token of every sequence in the middle of the output; None for an encoder.
    ``later_seconds``: all tokens of the output after the first; they may be wrong by ``later_error``, a share, since
    only some of them are looked at (`generation_cycles`). ``counted``: the cycles are counted, as `describe` and the
    manifest of `emit` have them; if not, they follow from formulas. ``watts``: the power of the board, and
    ``watts_source`` where it is from.
    """

    network: Network
    device: Device
    design: Design
    workload: Workload
    refusal: str
    first_token: Timing
    token: Timing | None
    later_seconds: float
    later_error: float
    counted: bool
    watts: float
    watts_source: str
    prefill: Phase
    decode: Phase | None

    @property
    def prompt(self) -> int:
        """Tokens that are given."""
        return self.workload.prompt

    @property
    def output(self) -> int:
        """Tokens that are generated."""
        return self.workload.output

    @property
    def sequences(self) -> int:
        """Sequences in flight."""
        return self.workload.sequences

    @property
    def clock_mhz(self) -> float:
        """The clock."""
        return self.device.clock_mhz

    @property
    def seconds(self) -> float:
        """The whole work: the prompts one after the other, then the tokens of all sequences together."""
        return self.sequences * self.first_token.seconds + self.later_seconds

    @property
    def accuracy(self) -> str:
        """How the cycles are found, and how exact they are."""
        if not self.network.causal:
            return "counted tile by tile, as in describe and the manifest of emit"
        if self.counted:
            return "counted tile by tile and word by word, as in describe and the manifest of emit"
        if isinstance(self.design.spec, DecoderSpec):
            return f"estimated, within {ESTIMATE_ERROR:.0%} of the counted ones that describe shows"
        if self.design.kind == SpatialDesign.kind:
            return f"estimated; for GPT-2 these estimates are within {ESTIMATE_ERROR:.0%} of the counted cycles"
        return "estimated, and compared with no hardware, since no design of this kind has been built"

    def cycles(self, timing: Timing) -> int:
        """Cycles of one of its times, with waits for memory."""
        return round(timing.seconds * self.clock_mhz * 1e6)

    @property
    def tokens_a_second(self) -> float:
        """Output tokens of all sequences per second while decoding; for an encoder, tokens of its text per second."""
        if self.token is None:
            return self.prompt / self.first_token.seconds
        return self.sequences / self.token.seconds

    @property
    def joules_a_token(self) -> float:
        """Energy per output token; for an encoder, per token of its text."""
        return self.watts / self.tokens_a_second

    @property
    def resources(self) -> Resources:
        """The resources of the design."""
        return self.design.resources

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """All constraints, met or not. They are computed on first use, since the floorplan takes most of the time."""
        work = self.workload
        return tuple(
            constraints(
                self.design, self.device, tokens=work.length, sequences=max(work.sequences, work.held),
                clock_mhz=self.clock_mhz,
            )
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON: seconds, hertz, bytes."""
        timing = {"first_token": self.first_token, "token": self.token}
        return {
            "model": self.network.name,
            "device": self.device.name,
            "design": self.design.kind,
            "prompt": self.prompt,
            "output": self.output,
            "sequences": self.sequences,
            "weight_bits": self.design.weight_bits,
            "clock_mhz": self.clock_mhz,
            **{
                name: None if one is None else {
                    "seconds": one.seconds, "limit_seconds": one.limit, "bound": one.bound, "ratio": one.ratio
                }
                for name, one in timing.items()
            },
            "tokens_a_second": self.tokens_a_second,
            "seconds": self.seconds,
            "watts": self.watts,
            "watts_source": self.watts_source,
            "joules_a_token": self.joules_a_token,
            "resources": vars(self.resources),
            "cycles": {
                "counted": self.counted, "first_token": self.cycles(self.first_token),
                "token": None if self.token is None else self.cycles(self.token),
            },
            "stages": {
                "prefill": dict(self.prefill.stages), "token": dict(self.decode.stages) if self.decode else None
            },
            "constraints": {
                one.name: {"needed": one.needed, "available": one.available, "unit": one.unit}
                for one in self.constraints
            },
        }  # fmt: skip


def estimate(
    model: str | Network,
    device: str | Device,
    *,
    prompt: int = 128,
    output: int | None = None,
    sequences: int = 1,
    weight_bits: int | WeightBits = 8,
    tile: int | None = None,
    clock_mhz: float | None = None,
    counted: bool = True,
) -> Estimate:
    """The estimate of the design that `choose` finds for prompts of ``prompt`` tokens and ``output`` tokens (`OUTPUT`
    where not given; an encoder has none): the one that `emit` makes, where it makes one.

    Args:
        model: a network, the name of a built-in one, or the path of a `config.json`.
        device: a device, or the name of a built-in one.
        sequences: how many are in flight at once.
        weight_bits: 8, or 4 with a scale for each group of 64; or both, by product.
        tile: tokens worked on at once; the best is found where not given.
        clock_mhz: the device's planning clock where not given.
        counted: count the cycles of a decoder that `emit` makes, which takes seconds; if not, estimate them.

    Raises:
        InputError: for what is out of range or unknown, and where no design fits, with the constraint that refuses it.
    """
    network = load_network(model) if isinstance(model, str) else model
    board = load_device(device) if isinstance(device, str) else device
    check_device(board)
    workload = Workload.of(
        network, prompt=prompt, output=output, sequences=sequences, weight_bits=weight_bits, tile=tile,
        clock_mhz=clock_mhz,
    )  # fmt: skip
    chosen = choose(network, board, workload)
    return estimate_design(chosen.design, board, workload, refusal=chosen.refusal, counted=counted)


def estimate_design(
    design: Design, device: Device, workload: Workload, *, refusal: str = "", counted: bool = True
) -> Estimate:
    """The estimate of one design, whether or not its constraints are met; ``refusal`` and ``counted`` as `Estimate` and
    `estimate` have them."""
    board, work, network = workload.clocked(device), workload, design.network
    counts = counted and isinstance(design.spec, DecoderSpec) and work.sequences == 1
    clock = board.clock_mhz * 1e6
    prefill, middle = design.prefill(work.prompt), work.prompt + work.output // 2
    decode = design.decode(middle, work.sequences) if network.causal and work.output else None

    def timing(phase: Phase, cycles: float) -> Timing:
        limits = Limits.of(phase.macs, design.resources.dsp, phase.bytes, board.memory.bytes_a_cycle(board.clock_mhz))
        return Timing(seconds=cycles / clock, compute_limit=limits.compute / clock, memory_limit=limits.memory / clock)

    def token(context: int) -> float:
        if counts:
            return counted_decoder_cycles(design.spec, 1, context, MemoryTiming.of_device(board))
        return cycles_of(design.decode(context, work.sequences), design, board)

    if counts:
        first: float = counted_decoder_cycles(design.spec, work.prompt, 0, MemoryTiming.of_device(board))
    else:
        first = cycles_of(prefill, design, board)
    later, error = 0.0, 0.0
    if work.output > 1:
        later, error = generation_cycles(token, work.prompt, middle, work.length - 2)
    return Estimate(
        network=network, device=board, design=design, workload=work, refusal=refusal,
        first_token=timing(prefill, first),
        token=None if decode is None else timing(decode, token(middle)),
        later_seconds=max(0, work.output - 1) * later / clock, later_error=error / later if later else 0.0,
        counted=counts or not network.causal, watts=board.power.watts, watts_source=board.power.source,
        prefill=prefill, decode=decode,
    )  # fmt: skip


def check_device(device: Device) -> None:
    """Refuses a device that no design is estimated for.

    Raises:
        InputError: with the families that there are estimates for.
    """
    if device.kind != "fpga" or device.family not in FAMILIES:
        known = " and ".join(FAMILIES)
        other = "a GPU; compare takes it with --against" if device.kind == "gpu" else f"of the family {device.family}"
        raise InputError(f"estimates are for FPGAs of the families {known}, not for {device.name!r}, {other}")
