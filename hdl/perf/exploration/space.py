"""All designs that are explored: a space of each kind that a network has designs of."""

from dataclasses import dataclass
from functools import cached_property

from ...errors import InputError
from ...model.network import Network
from ..device import Device
from .kind import Kind
from .spatial.spatial_space import SpatialSpace
from .streamed.streamed_space import StreamedSpace

__all__ = ["Batch", "Space"]

Batch = tuple[int, int, int]
"""The place of a kind in the space, the batch's number among all, and how many points it has."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """All designs of ``network`` on ``device`` for prompts of ``prompt`` tokens and ``output`` more: spatial ones, and
    of a decoder streamed ones.

    Raises:
        InputError: for a network that has no design of any kind, when `kinds` are asked for.
    """

    network: Network
    device: Device
    prompt: int
    output: int

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that there are, with their tables."""
        kinds: list[type[Kind]] = [SpatialSpace, StreamedSpace] if self.network.causal else [SpatialSpace]
        found, reasons = [], []
        for kind in kinds:
            one = kind(network=self.network, device=self.device, prompt=self.prompt, output=self.output)
            try:
                _ = one.tables
                found.append(one)
            except InputError as error:
                reasons.append(str(error))
        if not found:
            raise InputError("; ".join(reasons))
        return tuple(found)

    def batches(self, points: int, most: int) -> list[Batch]:
        """All batches of so many points, of at most ``most`` each, one kind after the other with an equal share."""
        shares = [points // len(self.kinds)] * len(self.kinds)
        shares[0] += points - sum(shares)
        found: list[Batch] = []
        for kind, share in enumerate(shares):
            for start in range(0, share, most):
                found.append((kind, len(found), min(most, share - start)))
        return found
