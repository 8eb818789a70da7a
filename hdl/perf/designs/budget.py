"""How much of a device a design is planned to take."""

from ...resources import Resources

__all__ = ["LABELS", "PLANNED", "SHARES", "remaining", "scaled", "shortfall"]

PLANNED = {"dsp": 0.80, "bram36": 0.80, "uram": 0.80, "lut": 0.70, "ff": 0.50}
"""Shares of a device that a design is planned to take at most; beyond them routing fails or slows."""

SHARES = (1.0, 0.9, 0.8, 0.7)
"""Of that, tried in turn until a design meets what only a whole design can be held to: its floorplan, the bandwidth
that it asks for."""

LABELS = {"dsp": "DSP48E2", "bram36": "BRAM36", "uram": "URAM288", "lut": "LUT", "ff": "FF"}
"""What the resources are called."""


def shortfall(needed: Resources, available: Resources) -> str | None:
    """Which resource is short by most, with what is needed and what is planned; None where all suffice."""
    worst: tuple[float, str] | None = None
    for name, share in PLANNED.items():
        need, planned = getattr(needed, name), share * getattr(available, name)
        if need > planned and (worst is None or need / max(planned, 1) > worst[0]):
            planning = f"{planned:,.0f} planned ({share:.0%} of {getattr(available, name):,})"
            worst = (need / max(planned, 1), f"{need:,.0f} {LABELS[name]} needed, {planning}")
    return worst[1] if worst else None


def scaled(available: Resources, share: float) -> Resources:
    """A share of all resources, rounded down."""
    return Resources(**{name: int(share * getattr(available, name)) for name in PLANNED})


def remaining(available: Resources, kept: Resources) -> Resources:
    """What there would have to be for all else if ``kept`` is taken of what is planned of ``available``."""
    left = {name: getattr(available, name) - getattr(kept, name) / share for name, share in PLANNED.items()}
    return Resources(**{name: max(0, int(one)) for name, one in left.items()})
