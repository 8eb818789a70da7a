"""RAMs where there is room: a decoder's units whose URAMs are made of block RAM, where a device's URAM is short."""

from dataclasses import replace
from itertools import combinations

from ...resources import Resources
from ..designs.budget import shortfall
from ..geometry.decoder_spec import DecoderSpec

__all__ = ["with_room"]


def with_room(spec: DecoderSpec, available: Resources) -> DecoderSpec:
    """The decoder with units moved from URAM to block RAM (`DecoderSpec.block_rams`) until both are within what
    is planned of them: of all choices of units the one that takes the fewest BRAM36, of equals the one of the fewest
    units. As it is where URAM is not short, or where no choice is enough.
    """
    present = spec.resources
    if _fit(present, available):
        return spec
    gains = _gains(spec)
    choices: dict[tuple[str, ...], Resources] = {}
    # All of them: there are 511 at most.
    for count in range(1, len(gains) + 1):
        for names in combinations(gains, count):
            needed = sum((gains[name] for name in names), present)
            if _fit(needed, available):
                choices[names] = needed
    if not choices:
        return spec
    best = min(choices, key=lambda names: choices[names].bram36)
    return replace(spec, block_rams=(*spec.block_rams, *best))


def _fit(needed: Resources, available: Resources) -> bool:
    """Whether the RAMs, whatever else is short, are within what is planned."""
    return shortfall(Resources(uram=needed.uram, bram36=needed.bram36), available) is None


def _gains(spec: DecoderSpec) -> dict[str, Resources]:
    """What the decoder takes more with a unit moved (of URAM less), by the unit, of those that have URAMs."""
    others = (name for name in spec.movable if name not in spec.block_rams)
    moved = {name: replace(spec, block_rams=(*spec.block_rams, name)).resources for name in others}
    gains = {name: one + -1 * spec.resources for name, one in moved.items()}
    return {name: gain for name, gain in gains.items() if gain.uram < 0}
