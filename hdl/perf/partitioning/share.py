"""What one of several devices has of a network: its share of the matrices, and what it sends over its links.

Layers are divided into contiguous stages, one after the other. Within a stage, ``tensor`` devices divide each layer:
QKV and FFN1 by their outputs, so by heads and by features of the feed-forward part, the projection and FFN2 by their
inputs. The sums of the latter two are complete only after an all-reduce, so a layer has two of them; the row-wise units
are on every device, on whole rows. Partial sums go as int16, as activations do on chip; each device quantises its part
of a row with a factor of its own.
"""

from dataclasses import dataclass, fields, replace
from math import ceil
from typing import NamedTuple

from ...errors import InputError
from ...model.network import Network
from ..choice.estimated import estimated_design
from ..device import Device, Link
from ..estimate import Estimate, estimate_design
from ..workload import Workload

__all__ = [
    "DeviceStage",
    "Place",
    "Share",
    "Transfer",
    "all_gather",
    "all_reduce",
    "check_tensor",
    "fitted",
    "links",
    "send",
    "share",
    "tensors",
]

ACTIVATION_BYTES = 2
"""Activations between devices are int16, as between the blocks of a device; so are scores of the vocabulary."""

TOKEN_BYTES = 4
"""A token's number, which goes from the last stage back to the first."""


class Transfer(NamedTuple):
    """Seconds on the links: of messages' latencies, and of their bytes."""

    latency: float = 0.0
    bandwidth: float = 0.0

    @property
    def seconds(self) -> float:
        """Both: nothing overlaps."""
        return self.latency + self.bandwidth

    def plus(self, other: "Transfer", times: int = 1) -> "Transfer":
        """This and ``other``, so many times."""
        return Transfer(self.latency + times * other.latency, self.bandwidth + times * other.bandwidth)


def send(size: float, link: Link) -> Transfer:
    """A message of ``size`` bytes to the neighbour."""
    return Transfer(link.latency_us * 1e-6, size / (link.bandwidth_gb_s * 1e9))


def all_gather(size: float, devices: int, link: Link) -> Transfer:
    """All get the ``size`` bytes of which each has a part: around the ring in n - 1 steps of a part."""
    steps = devices - 1
    return Transfer(steps * link.latency_us * 1e-6, steps / devices * size / (link.bandwidth_gb_s * 1e9))


def all_reduce(size: float, devices: int, link: Link) -> Transfer:
    """All get the sum of ``size`` bytes of each: a reduce-scatter around the ring, then an all-gather as long."""
    return Transfer().plus(all_gather(size, devices, link), 2)


@dataclass(frozen=True, kw_only=True)
class Share(Network):
    """A device's share of a network: fewer layers, heads and features, of the same rows.

    ``vocabulary``: rows of the head that it has, 0 where the head is not its; ``table``: rows of the embeddings.
    """

    table: int

    def __post_init__(self) -> None:
        """Checks nothing: what it is a share of was checked, and its heads need not fill the hidden features."""

    @property
    def parameters(self) -> int:
        """Weights and embeddings; a tied head needs no matrix of its own beside them."""
        head = 0 if self.tied and self.table else self.head_weights
        return self.layers * self.layer_weights + head + self.hidden * self.table


def share(network: Network, *, layers: int, tensor: int, first: bool, last: bool) -> Network:
    """The largest share of one of ``tensor`` devices in a stage of ``layers`` layers, the network's ``first`` or
    ``last``; of all of it, the network itself.

    Raises:
        InputError: where the devices do not divide the heads, or the key and value heads, and of an encoder, whose
            only design has a whole layer.
    """
    check_tensor(network, tensor)
    if tensor == 1 and layers == network.layers:
        return network
    rows = network.vocabulary + (0 if network.family == "llama" else network.max_positions)
    shape = {field.name: getattr(network, field.name) for field in fields(Network)}
    shape |= {
        "layers": layers,
        "heads": network.heads // tensor,
        # Devices beyond the key and value heads have copies of them.
        "kv_heads": max(1, network.kv_heads // tensor),
        "intermediate": ceil(network.intermediate / tensor),
        "vocabulary": ceil(network.vocabulary / tensor) if last else 0,
        "table": ceil(rows / tensor) if first else 0,
    }
    return Share(**shape)


def check_tensor(network: Network, tensor: int) -> None:
    """Raises InputError where so many devices cannot divide a layer."""
    if tensor < 1:
        raise InputError(f"tensor must be at least 1 device, not {tensor}")
    if tensor > 1 and not network.causal:
        raise InputError(f"tensor of model {network.name!r}, an encoder, must be 1, not {tensor}; divide it by layers")
    heads, kv_heads = network.heads, network.kv_heads
    if heads % tensor or (kv_heads % tensor and tensor % kv_heads):
        known = ", ".join(map(str, tensors(network)))
        raise InputError(
            f"tensor must divide the {heads} heads of model {network.name!r} and its {kv_heads} kv_heads, "
            f"not {tensor}; possible: {known}"
        )


def tensors(network: Network) -> list[int]:
    """The numbers of devices that can divide a layer."""
    heads, kv_heads = network.heads, network.kv_heads
    if not network.causal:
        return [1]
    return [n for n in range(1, heads + 1) if heads % n == 0 and not (kv_heads % n and n % kv_heads)]


@dataclass(frozen=True, kw_only=True)
class DeviceStage:
    """``layers`` layers on ``tensor`` devices: the ``estimate`` of one of them, and the transfers of a prompt and of a
    token of each sequence that is decoded at once."""

    layers: int
    tensor: int
    estimate: Estimate
    prompt_links: Transfer
    token_links: Transfer

    @property
    def prompt_seconds(self) -> float:
        """A prompt through this stage."""
        return self.estimate.first_token.seconds + self.prompt_links.seconds

    @property
    def token_seconds(self) -> float:
        """A token of a group of sequences through this stage."""
        return 0.0 if self.estimate.token is None else self.estimate.token.seconds + self.token_links.seconds


class Place(NamedTuple):
    """A stage's place: ``layers`` of it on ``tensor`` devices each, and whether it is the first or the last."""

    layers: int
    tensor: int
    first: bool
    last: bool


def fitted(network: Network, device: Device, work: Workload, place: Place, group: int) -> Estimate:
    """The estimate of the largest share of a stage, which decodes ``group`` sequences at once, while keys and values of
    all of them are in its memory. `emit` makes no shares, so their designs are of those that are only estimated; for
    speedups that are of the same kind, the design of the whole network on one device is, too.

    Raises:
        InputError: as `estimated_design`.
    """
    part = share(network, layers=place.layers, tensor=place.tensor, first=place.first, last=place.last)
    own = replace(work, sequences=group, held=work.sequences)
    return estimate_design(estimated_design(part, device, own), device, own, refusal="emit makes no shares of a model")


def links(network: Network, link: Link, place: Place, tokens: int, ends: int) -> Transfer:
    """What a stage sends for ``tokens`` tokens, of which ``ends`` go through the head."""
    activations = tokens * network.hidden * ACTIVATION_BYTES
    whole = place.first and place.last
    sent = Transfer()
    if place.tensor > 1:
        sent = sent.plus(all_reduce(activations, place.tensor, link), 2 * place.layers)
        if place.first:  # each looks up its part of the features
            sent = sent.plus(all_gather(activations, place.tensor, link))
        if place.last:
            sent = sent.plus(all_gather(ends * network.vocabulary * ACTIVATION_BYTES, place.tensor, link))
    if not place.last:
        sent = sent.plus(send(activations, link))
    elif not whole and network.causal:
        sent = sent.plus(send(ends * TOKEN_BYTES, link))
    return sent
