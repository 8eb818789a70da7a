"""What a design does in a phase, a prompt or a token: cycles and bytes, and how long both take together."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Loads", "Phase", "phase_cycles"]


class Loads(NamedTuple):
    """Weights that come one behind the other: cycles of ``unpacking`` some, and ``bytes`` of the others."""

    unpacking: float = 0.0
    bytes: float = 0.0

    def cycles_at(self, bytes_a_cycle: float) -> float:
        """Cycles where memory gives so much."""
        return self.unpacking + self.bytes / bytes_a_cycle


NOTHING = Loads()


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A prompt, or a token: ``cycles`` with all data at hand, ``bytes`` from off-chip memory, ``macs`` that the network
    asks for, and the cycles of a layer by stage.

    ``tail_cycles`` and ``tail_bytes`` of them come behind all else: those of a prompt's head, which works for one token
    only, and of whose weights a part has room on chip before; of a token's, where it has 8 bits and others have 4.
    ``beside``: bytes of keys and values that come through ports of their own; where banks of RAMs are loaded ahead, so
    large a share of them (``ahead``) as there are banks for while the head works, whose weights are ``head_bytes``.
    ``loads``: a token's weights, where some have other bits than others.
    """

    cycles: int
    bytes: float
    macs: int
    stages: Mapping[str, int]
    tail_cycles: int = 0
    tail_bytes: float = 0.0
    beside: float = 0.0
    ahead: float = 0.0
    head_bytes: float = 0.0
    loads: Loads = NOTHING

    def cycles_at(self, bytes_a_cycle: float, beside_a_cycle: float = inf) -> float:
        """Cycles where memory gives so much, and so much ``beside`` it: prefetch runs ahead, so the longest counts."""
        reading = max((self.bytes - self.beside) / bytes_a_cycle, self.loads.cycles_at(bytes_a_cycle))
        found = phase_cycles(self.cycles, reading, self.tail_cycles, self.tail_bytes / bytes_a_cycle)
        loading = self.beside / beside_a_cycle
        if self.ahead:
            loading += max(0.0, self.head_bytes / bytes_a_cycle - self.ahead * loading)
        return float(np.maximum(found, loading))


def phase_cycles(cycles: Any, reading: Any, tail: Any, tail_reading: Any) -> Any:
    """Cycles of a phase whose units take ``cycles`` and whose memory ``reading``, of each the ``tail`` behind all else;
    numbers, or arrays of them."""
    return np.maximum(cycles - tail, reading - tail_reading) + np.maximum(tail, tail_reading)
