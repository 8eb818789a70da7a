"""A network on several devices: the fastest way to divide it by layers and within them, and what bends the curve.

from hdl.perf import partition, scaling
found = partition("llama-2-7b", "u280", 8)
found.tensor, found.pipeline, found.tokens_a_second, found.efficiency, found.reason
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...bounds import DEVICES
from ...errors import InputError
from ...model.load import load_network
from ...model.network import Network
from ...model.weightbits import WeightBits
from ..device import Device, Link, load_device
from ..estimate import check_device
from ..workload import Workload
from .device_split import DIVISIBILITY, ON_CHIP, DeviceSplit, bound, largest, lost
from .divide import Splits
from .share import check_tensor

__all__ = ["COUNTS", "Partition", "partition", "scaling"]

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of devices of a scaling curve: powers of two, and one between each two."""

NOTABLE = 0.005
"""Efficiency that bends a curve: less is rounding."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The fastest way to use up to ``devices`` devices for ``work``.

    ``split``: the shares, and their times. ``link``: what joins the devices. ``least``: the fewest devices that the
    network fits, whose efficiency is 1. ``efficiency``: how fast all the work is done, against ``least`` devices, over
    the ratio of their numbers.
    ``losses``: shares of all devices' time that are lost against them, by cause, 1 - ``efficiency`` together.
    ``reason``: the cause that bends the curve here, or, where it is straight, what bounds the devices' own time.
    """

    network: Network
    device: Device
    devices: int
    work: Workload
    split: DeviceSplit
    link: Link
    least: int
    efficiency: float
    losses: Mapping[str, float]
    reason: str

    @property
    def tensor(self) -> int:
        """Devices that divide each layer."""
        return self.split.tensor

    @property
    def pipeline(self) -> int:
        """Stages, each of contiguous layers."""
        return len(self.split.stages)

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers of each stage."""
        return tuple(stage.layers for stage in self.split.stages)

    @property
    def speedup(self) -> float:
        """How many times faster than one device; where one does not hold the network, a ``least`` th of ``least``."""
        return self.efficiency * self.devices

    @property
    def first_token_seconds(self) -> float:
        """A prompt through all stages; for an encoder, a whole text."""
        return self.split.first_token

    @property
    def token_seconds(self) -> float | None:
        """From one token of a sequence to its next; None where none is decoded."""
        return self.split.token

    @property
    def seconds(self) -> float:
        """All of the work."""
        return self.split.seconds

    @property
    def tokens_a_second(self) -> float:
        """Output tokens of all sequences a second; where none are decoded, those of the prompts."""
        if self.split.token is None:
            return self.work.sequences * self.work.prompt / self.split.prompts
        return self.work.sequences / self.split.token

    @property
    def watts(self) -> float:
        """What all boards take, those without a share among them."""
        return self.devices * self.split.stages[0].estimate.watts

    @property
    def joules_a_token(self) -> float:
        """Energy of a token."""
        return self.watts / self.tokens_a_second

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        own = ("devices", "tensor", "pipeline", "layers", "first_token_seconds", "token_seconds", "seconds")
        rates = ("tokens_a_second", "watts", "joules_a_token", "speedup", "efficiency", "least", "reason")
        return {
            "model": self.network.name,
            "device": self.device.name,
            **self.work.as_dict(),
            "design": self.split.stages[0].estimate.design.kind,
            **{name: getattr(self, name) for name in own + rates},
            "losses": dict(self.losses),
        }


def partition(
    model: str | Network,
    device: str | Device,
    devices: int,
    *,
    prompt: int = 128,
    output: int | None = None,
    sequences: int = 1,
    weight_bits: int | WeightBits = 8,
    tensor: int | None = None,
    tile: int | None = None,
    clock_mhz: float | None = None,
) -> Partition:
    """The fastest way to divide ``model`` over up to ``devices`` devices; its reason is that against the fewest that
    the model fits. ``tensor``: so many devices divide each layer; all possible numbers are tried where not given.

    Raises:
        InputError: for what is out of range or unknown, a device without links, and a model that does not fit.
    """
    splits = _splits(model, device, prompt, output, sequences, weight_bits, tensor, tile, clock_mhz)
    return _fastest(splits, splits.least(_checked(devices, tensor)), devices, tensor, [])


def scaling(
    model: str | Network,
    device: str | Device,
    up_to: int = DEVICES.most,
    *,
    prompt: int = 128,
    output: int | None = None,
    sequences: int = 1,
    weight_bits: int | WeightBits = 8,
    tensor: int | None = None,
    tile: int | None = None,
    clock_mhz: float | None = None,
) -> list[Partition]:
    """The partitions on `COUNTS` devices and on ``up_to``, those left out that the model does not fit; the reason of
    each is that against the last before it with at least its efficiency.

    Raises:
        InputError: as `partition`.
    """
    splits = _splits(model, device, prompt, output, sequences, weight_bits, tensor, tile, clock_mhz)
    least = splits.least(_checked(up_to, tensor))
    first = max(least.devices, tensor or 1)
    found: list[Partition] = []
    for count in sorted({first, up_to, *(n for n in COUNTS if first <= n < up_to)}):
        found.append(_fastest(splits, least, count, tensor, found))
    return found


def _checked(devices: int, tensor: int | None) -> int:
    DEVICES.check(devices)
    if tensor is not None and devices < tensor:
        raise InputError(f"devices must be at least {tensor}, the devices that divide a layer, not {devices}")
    return devices


def _splits(
    model: str | Network,
    device: str | Device,
    prompt: int,
    output: int | None,
    sequences: int,
    weight_bits: int | WeightBits,
    tensor: int | None,
    tile: int | None,
    clock_mhz: float | None,
) -> Splits:
    """The splits of a network, once what is asked for is checked."""
    network = load_network(model) if isinstance(model, str) else model
    board = load_device(device) if isinstance(device, str) else device
    check_device(board)
    work = Workload.of(
        network, prompt=prompt, output=output, sequences=sequences, weight_bits=weight_bits, tile=tile,
        clock_mhz=clock_mhz or board.clock_mhz,
    )  # fmt: skip
    if not board.links:
        raise InputError(f"device {board.name!r} must have links to others, but none are known; choose one with links")
    if tensor is not None:
        check_tensor(network, tensor)
    link = max(board.links, key=lambda one: one.bandwidth_gb_s)
    return Splits(network, board, link, work)


def _fastest(
    splits: Splits, least: DeviceSplit, devices: int, tensor: int | None, before: Sequence[Partition]
) -> Partition:
    """The fastest of the splits on up to so many devices; its reason is that against those ``before`` it."""
    options = splits.options(devices, tensor)
    if not options:
        raise InputError(f"{splits.refusal(devices)}; with more devices, or another tensor, shares are smaller")
    best = min(options, key=lambda split: (split.seconds, split.devices))
    everything = devices * best.seconds
    efficiency = least.devices * least.seconds / everything
    losses = {cause: seconds / everything for cause, seconds in lost(best, least).items()}
    if idle := devices - best.devices:
        larger = [split for split in options if split.devices > best.devices]
        # What the best of those with more devices would lose is why these are without a share.
        cause = largest(lost(min(larger, key=lambda split: split.seconds), best)) if larger else DIVISIBILITY
        losses[cause] += idle / devices
    higher = [one.losses for one in before if one.efficiency >= efficiency]
    return Partition(
        network=splits.network, device=splits.device, devices=devices, work=splits.work, split=best,
        link=splits.link, least=least.devices, efficiency=efficiency, losses=losses,
        reason=_reason(best, losses, higher[-1] if higher else {}),
    )  # fmt: skip


def _reason(split: DeviceSplit, losses: Mapping[str, float], before: Mapping[str, float]) -> str:
    """The cause that bends the curve: what grew most where efficiency falls, what is gained where it is above 1."""
    growth = {cause: share - before.get(cause, 0.0) for cause, share in losses.items()}
    bend = sum(growth.values())
    if bend > NOTABLE:
        return largest(growth)
    if bend < 0 and growth[ON_CHIP] < -NOTABLE:
        return ON_CHIP
    if bend < -NOTABLE:
        return largest({cause: -more for cause, more in growth.items()})
    return bound(split)
