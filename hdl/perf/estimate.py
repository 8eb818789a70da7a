"""Estimates of a network on a device: time, throughput and energy, with the limits of compute and memory.

from hdl.perf import estimate
found = estimate("gpt2", "u280", prompt=128, output=64)
found.first_token.seconds, found.token.seconds, found.tokens_a_second, found.joules_a_token
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..bounds import CLOCK, SEQUENCES
from ..errors import InputError
from ..model.load import load_network
from ..model.network import Network
from ..resources import Resources
from .budget import SHARES
from .candidates import candidates
from .constraints import Constraint, binding, check_memory, constraints
from .design import Design, Phase
from .device import Device, load_device
from .limits import Limits
from .plan import check_tile

__all__ = ["Estimate", "Timing", "checked_output", "estimate", "estimate_design"]

FAMILIES = ("ultrascale+", "versal")
"""FPGAs whose DSPs do what the kernels' cascades ask, two int8 products each: the DSP48E2 and its successor."""

WEIGHT_BITS = (8, 4)

OUTPUT = 64
"""Tokens that are generated where no number is asked for, if the model has so many positions left."""


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
    """Time, throughput and energy of a design on a device.

    The work is ``prompt`` and ``output`` tokens of each of ``sequences``. ``clock_mhz`` is an assumption.
    ``first_token``: the whole prompt; for an encoder the whole text. ``token``: one token of every sequence in the
    middle of the output; None for an encoder. ``watts``: the power of the board, and ``watts_source`` where it is from.
    ``held``: sequences whose keys and values are in memory.
    """

    network: Network
    device: Device
    design: Design
    prompt: int
    output: int
    sequences: int
    clock_mhz: float
    first_token: Timing
    token: Timing | None
    watts: float
    watts_source: str
    prefill: Phase
    decode: Phase | None
    held: int

    @property
    def seconds(self) -> float:
        """The whole work: the prompts one after the other, then the tokens of all sequences together."""
        token = self.token.seconds if self.token else 0.0
        return (
            self.sequences * self.first_token.seconds + (self.output - 1) * token
            if self.output
            else (self.sequences * self.first_token.seconds)
        )

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
        tokens = self.prompt + self.output
        return tuple(
            constraints(self.design, self.device, tokens=tokens, sequences=self.held, clock_mhz=self.clock_mhz)
        )

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
            "cycles": {"prefill": self.prefill.cycles, "token": self.decode.cycles if self.decode else None},
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
    held: int | None = None,
    weight_bits: int = 8,
    tile: int | None = None,
    clock_mhz: float | None = None,
) -> Estimate:
    """The fastest design of ``model`` on ``device`` for prompts of ``prompt`` tokens and ``output`` tokens (`OUTPUT`
    where not given; an encoder has none).

    Args:
        model: a network, the name of a built-in one, or the path of a `config.json`.
        device: a device, or the name of a built-in one.
        sequences: how many are in flight at once.
        held: how many have keys and values in memory, where they are more than those in flight here.
        weight_bits: 8, or 4 with a scale for each group of 64.
        tile: tokens worked on at once; all sizes are tried where not given.
        clock_mhz: the device's planning clock where not given.

    Raises:
        InputError: for what is out of range or unknown, and where no design fits, with the constraint that refuses it.
    """
    network = load_network(model) if isinstance(model, str) else model
    board = load_device(device) if isinstance(device, str) else device
    tokens = checked_output(network, board, prompt, output, sequences, weight_bits, tile, clock_mhz)
    clock = clock_mhz or board.clock_mhz
    kept = max(sequences, held or 1)
    check_memory(network, board, tokens=prompt + tokens, sequences=kept, weight_bits=weight_bits)

    def estimated(design: Design) -> Estimate:
        return estimate_design(
            design, board, prompt=prompt, output=tokens, sequences=sequences, held=kept, clock_mhz=clock
        )

    refused: list[Constraint] = []
    for share in SHARES:
        try:
            designs = candidates(
                network, board, max_length=prompt + tokens, tile=tile, weight_bits=weight_bits,
                cost=lambda design: estimated(design).seconds, share=share,
            )  # fmt: skip
        except InputError:
            if refused:
                break
            raise
        # A cache on chip has room for one sequence.
        designs = [design for design in designs if kept == 1 or not network.causal or design.cache_bytes]
        if not designs and not refused:  # and with less room there is none either
            raise InputError(
                f"model {network.name!r} on device {board.name!r}: no design holds {kept} sequences at once"
            )
        for found in sorted(map(estimated, designs), key=lambda one: one.seconds):
            missed = binding(found.constraints)
            if missed is None:
                return found
            refused.append(missed)
    least = min(refused, key=lambda one: one.used)
    raise InputError(f"model {network.name!r} does not fit device {board.name!r}: {least}")


def estimate_design(
    design: Design,
    device: Device,
    *,
    prompt: int,
    output: int,
    sequences: int = 1,
    held: int | None = None,
    clock_mhz: float | None = None,
) -> Estimate:
    """The estimate of one design, whether or not its constraints are met."""
    clock = (clock_mhz or device.clock_mhz) * 1e6
    given, beside = (
        device.memory.sustained * (drawn(device.memory) * 1e9) for drawn in (design.bandwidth, design.cache_bandwidth)
    )
    prefill = design.prefill(prompt)
    decode = design.decode(prompt + output // 2, sequences) if design.network.causal and output else None

    def timing(phase: Phase) -> Timing:
        limits = Limits.of(phase.macs, design.resources.dsp, phase.bytes, device.memory.bytes_a_cycle(clock / 1e6))
        return Timing(
            seconds=phase.cycles_at(given / clock, beside / clock) / clock,
            compute_limit=limits.compute / clock,
            memory_limit=limits.memory / clock,
        )

    return Estimate(
        network=design.network, device=device, design=design, prompt=prompt, output=output, sequences=sequences,
        clock_mhz=clock / 1e6, first_token=timing(prefill), token=None if decode is None else timing(decode),
        watts=device.power.watts, watts_source=device.power.source,
        prefill=prefill, decode=decode, held=max(sequences, held or 1),
    )  # fmt: skip


def checked_output(
    network: Network,
    device: Device,
    prompt: int,
    output: int | None,
    sequences: int,
    weight_bits: int,
    tile: int | None = None,
    clock_mhz: float | None = None,
) -> int:
    """The output tokens, `OUTPUT` of a decoder where not given.

    Raises:
        InputError: for what is out of range.
    """
    if output is None:
        output = min(OUTPUT, max(0, network.max_positions - prompt)) if network.causal else 0
    if device.kind != "fpga" or device.family not in FAMILIES:
        known = " and ".join(FAMILIES)
        other = "a GPU; compare takes it with --against" if device.kind == "gpu" else f"of the family {device.family}"
        raise InputError(f"estimates are for FPGAs of the families {known}, not for {device.name!r}, {other}")
    if output and not network.causal:
        raise InputError(f"output of model {network.name!r}, an encoder, must be 0 tokens, not {output}")
    if prompt < 1:
        raise InputError(f"prompt must be at least 1 token, not {prompt}")
    if output < 0:
        raise InputError(f"output must be at least 0 tokens, not {output}")
    asked = prompt + output
    if asked > network.max_positions:
        raise InputError(
            f"prompt and output of model {network.name!r} must be at most its {network.max_positions} positions, "
            f"not {asked}"
        )
    SEQUENCES.check(sequences)
    if weight_bits not in WEIGHT_BITS:
        raise InputError(f"weight-bits must be 8 or 4, not {weight_bits}")
    if weight_bits != 8 and not network.causal:
        raise InputError(f"weight-bits of model {network.name!r}, an encoder, must be 8, not {weight_bits}")
    if tile is not None:
        check_tile(tile)
    if clock_mhz is not None:
        CLOCK.check(clock_mhz)
    return output
