"""A memory channel, as the accelerator sees it.

Requests go out, and beats of 512 bits come back in their order. Beats to be written go out with a strobe for each byte.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["BEAT_BYTES", "CHANNEL_BITS", "MAX_BURST", "Request", "Written"]

CHANNEL_BITS = 512
"""Bits of a beat."""

BEAT_BYTES = CHANNEL_BITS // 8

MAX_BURST = 256
"""The most beats of a request: AXI4's longest burst."""

Request = data.StructLayout({"address": unsigned(32), "beats": unsigned(MAX_BURST.bit_length())})
"""A request: ``beats`` consecutive beats (at least 1) from ``address`` on, which counts beats, not bytes."""

Written = data.StructLayout({"data": unsigned(CHANNEL_BITS), "strobes": unsigned(BEAT_BYTES)})
"""A beat to be written: only its bytes with a strobe are."""
