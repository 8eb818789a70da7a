"""Where an FPGA wins against a GPU: both estimates over prompt and output lengths, by latency, throughput and energy.

from hdl.perf import compare
found = compare("gpt2-medium", "u280", "a100")
found.wins("latency"), found.at(128, 64).ratio("energy")

One design serves all lengths, as one bitstream does: it is chosen for the longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import InputError
from ...model.load import load_network
from ...model.network import Network
from ...model.weightbits import WeightBits
from ..device import Device, devices, load_device
from ..estimate import Estimate, estimate, estimate_design
from .gpu import GpuEstimate, estimate_gpu

__all__ = ["LONGEST", "METRICS", "ComparedLengths", "Comparison", "Metric", "compare", "lengths"]

Metric = Literal["latency", "throughput", "energy"]

METRICS: dict[Metric, tuple[str, str]] = {
    "latency": ("time of the whole request", "s"),
    "throughput": (
        "output tokens per second while decoding; for an encoder, text tokens per second",
        "tokens/s",
    ),
    "energy": ("energy per token of the whole request", "J"),
}
"""What is compared, and its unit."""

LONGEST = 4096
"""The most tokens of prompt and output together where no number is given, if the model has so many positions."""

SHORTEST = 16
"""The shortest prompt and output of a map, but for models that have not twice as many positions."""


@dataclass(frozen=True, kw_only=True)
class ComparedLengths:
    """Both estimates of one pair of lengths."""

    ours: Estimate
    theirs: GpuEstimate

    @property
    def prompt(self) -> int:
        """Tokens that are given."""
        return self.ours.prompt

    @property
    def output(self) -> int:
        """Tokens that are generated."""
        return self.ours.output

    def figures(self, metric: Metric) -> tuple[float, float]:
        """The FPGA's figure and the GPU's, in the units of `METRICS`."""
        return _figure(self.ours, metric), _figure(self.theirs, metric)

    def ratio(self, metric: Metric) -> float:
        """How many times better the FPGA is; above 1 it wins."""
        ours, theirs = self.figures(metric)
        return ours / theirs if metric == "throughput" else theirs / ours

    def winner(self, metric: Metric) -> str:
        """The name of the better device; the FPGA's where both are the same."""
        return self.ours.device.name if self.ratio(metric) >= 1 else self.theirs.device.name


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All points of a map, by prompt and then by output. ``chosen``: the estimate for the longest sequence, whose
    design serves all points."""

    network: Network
    device: Device
    against: Device
    chosen: Estimate
    points: tuple[ComparedLengths, ...]

    @property
    def prompts(self) -> tuple[int, ...]:
        """The prompts' lengths, from the shortest."""
        return tuple(sorted({point.prompt for point in self.points}))

    @property
    def outputs(self) -> tuple[int, ...]:
        """The outputs' lengths, from the shortest."""
        return tuple(sorted({point.output for point in self.points}))

    def at(self, prompt: int, output: int) -> ComparedLengths | None:
        """The point of these lengths; None where they are more than the map's longest."""
        found = (point for point in self.points if (point.prompt, point.output) == (prompt, output))
        return next(found, None)

    def wins(self, metric: Metric) -> int:
        """At how many points the FPGA wins."""
        return sum(point.ratio(metric) >= 1 for point in self.points)

    @property
    def assumptions(self) -> str:
        """What the figures are based on."""
        ours, theirs = self.points[0].ours, self.points[0].theirs
        efficiency = theirs.efficiency
        return (
            f"All figures are estimates for {ours.sequences} sequence{'s' if ours.sequences > 1 else ''} at once; "
            f"cycles are {ours.accuracy}. "
            f"Assumed for {self.device.name}: weights of {ours.workload.weight_bits}, {ours.clock_mhz:g} MHz, "
            f"{ours.watts:g} W ({ours.watts_source}). Assumed for {self.against.name}: {theirs.number_format}, "
            f"{theirs.software} kernel launches, {efficiency.compute:.0%} of the peak operations, "
            f"{efficiency.memory:.0%} of the peak bandwidth, {efficiency.launch_seconds * 1e6:g} us per layer to "
            f"launch kernels, {theirs.watts:g} W ({theirs.watts_source})."
        )

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON, in the units of `METRICS`."""
        ours, theirs = self.points[0].ours, self.points[0].theirs
        points = []
        for point in self.points:
            metrics: dict[str, dict[str, Any]] = {}
            for metric in METRICS:
                ours_here, theirs_here = point.figures(metric)
                metrics[metric] = {
                    self.device.name: ours_here,
                    self.against.name: theirs_here,
                    "ratio": point.ratio(metric),
                    "winner": point.winner(metric),
                }
            points.append({"prompt": point.prompt, "output": point.output, **metrics})
        return {
            "model": self.network.name,
            "device": self.device.name,
            "against": self.against.name,
            "design": ours.design.kind,
            "weight_bits": ours.design.weight_bits,
            "clock_mhz": ours.clock_mhz,
            "format": theirs.number_format,
            "software": theirs.software,
            "sequences": ours.sequences,
            "sources": dict(theirs.efficiency.sources),
            "units": {metric: unit for metric, (_, unit) in METRICS.items()},
            "wins": {metric: self.wins(metric) for metric in METRICS},
            "points": points,
        }


def lengths(longest: int) -> tuple[int, ...]:
    """The powers of two from 16, or from 1 where ``longest`` is below 32, to ``longest``."""
    first = SHORTEST if longest >= 2 * SHORTEST else 1
    return tuple(1 << power for power in range(first.bit_length() - 1, longest.bit_length()))


def compare(
    model: str | Network,
    device: str | Device,
    against: str | Device,
    *,
    max_length: int | None = None,
    prompts: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    sequences: int = 1,
    weight_bits: int | WeightBits = 8,
    clock_mhz: float | None = None,
    number_format: str = "fp16",
    software: str = "captured",
) -> Comparison:
    """``model`` on FPGA ``device`` and on GPU ``against``, for all pairs of lengths that fit.

    Args:
        max_length: the most tokens of prompt and output together: the model's positions where not given, at most
            `LONGEST`.
        prompts, outputs: the lengths; powers of two up to ``max_length`` where not given. An encoder has no output.
        sequences: how many are in flight at once, on both.
        weight_bits, clock_mhz: of the FPGA, as for `estimate`.
        number_format, software: of the GPU, as for `estimate_gpu`.

    Raises:
        InputError: for what is unknown or out of range, a device of the wrong kind, and where a device has no room.
    """
    network = load_network(model) if isinstance(model, str) else model
    board = load_device(device) if isinstance(device, str) else device
    gpu = load_device(against) if isinstance(against, str) else against
    _check_kinds(board, gpu)
    least = 2 if network.causal else 1
    longest = min(LONGEST, network.max_positions) if max_length is None else max_length
    if not least <= longest <= network.max_positions:
        raise InputError(
            f"max-length must be {least} to {network.max_positions}, the positions of model {network.name!r}, "
            f"not {longest}"
        )
    # The GPU's first: they take no time, and find most mistakes before the search for a geometry does.
    theirs = [
        estimate_gpu(
            network, gpu, prompt=prompt, output=output, sequences=sequences, number_format=number_format,
            software=software,
        )
        for prompt, output in _pairs(network, longest, prompts, outputs)
    ]  # fmt: skip
    generated = longest // 2 if network.causal else 0
    chosen = estimate(
        network, board, prompt=longest - generated, output=generated, sequences=sequences, weight_bits=weight_bits,
        clock_mhz=clock_mhz, counted=False,
    )  # fmt: skip
    points = tuple(
        ComparedLengths(
            ours=estimate_design(
                chosen.design, board, chosen.workload.lasting(one.prompt, one.output), refusal=chosen.refusal,
                counted=False,
            ),
            theirs=one,
        )
        for one in theirs
    )  # fmt: skip
    return Comparison(network=network, device=board, against=gpu, chosen=chosen, points=points)


def _check_kinds(device: Device, against: Device) -> None:
    """Raises InputError for a device that is not of the kind that it is asked for as."""
    words = {"fpga": "an FPGA", "gpu": "a GPU"}
    for name, one, kind in (("device", device, "fpga"), ("against", against, "gpu")):
        if one.kind != kind:
            known = ", ".join(other for other in devices() if load_device(other).kind == kind)
            raise InputError(f"{name} must be {words[kind]}, not {words[one.kind]} as {one.name!r}; known: {known}")


def _pairs(
    network: Network, longest: int, prompts: Sequence[int] | None, outputs: Sequence[int] | None
) -> list[tuple[int, int]]:
    """The pairs of lengths of a map. What is too long is left out, but for a length that is asked for and has no pair.

    Raises:
        InputError: for such a length.
    """
    rows = prompts or lengths(longest)
    columns = outputs or (lengths(longest) if network.causal else (0,))
    pairs = []
    for prompt in rows:
        for output in columns:
            if prompt + output <= longest:
                pairs.append((prompt, output))
            elif (prompts and (outputs or output == min(columns))) or (outputs and prompt == min(rows)):
                raise InputError(
                    f"prompt and output of model {network.name!r} must be at most {longest} tokens together, "
                    f"not {prompt + output}"
                )
    return pairs


def _figure(found: Estimate | GpuEstimate, metric: Metric) -> float:
    """The figure of a metric, in its unit."""
    if metric == "latency":
        return found.seconds
    if metric == "throughput":
        return found.tokens_a_second
    return found.watts * found.seconds / (found.sequences * (found.output or found.prompt))
