"""Many points of a kind at once: their figures as arrays, and what refuses those that do not fit.

The same as a point's design and `estimate_design` give for each, which a test holds; but for an encoder's cycles, which
are screened by a closed form (`encoder_cycles`), and the SLRs, which only the front is checked for.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from ...kernels.shared import weight_bytes
from ...resources import Resources
from ..designs.budget import PLANNED
from ..designs.constraints import BANDWIDTH, NAMES
from ..designs.phase import phase_cycles
from .axes import Axes
from .energy import energy_proxy

__all__ = ["ALL", "CONSTRAINTS", "FIGURES", "PROMPT", "Points", "counts"]

CONSTRAINTS = (*NAMES.values(), "memory capacity", "memory ports", BANDWIDTH)
"""What refuses a point here, by the names of `constraints`."""

FIGURES = (
    "first_token_s", "token_s", "tokens_per_s", "energy_j", "dsp", "bram36", "uram", "lut", "ff", "prefill_cycles",
    "token_cycles",
)  # fmt: skip
"""What is found of a point: seconds to the first token (of an encoder, of the run) and of a token (0 where there is
none); tokens a second with as many sequences as fill the design; joules of a run; resources; cycles."""

PROMPT, ALL = 0, 1
"""Lengths that cycles are kept for: the prompt; all tokens, for which the constraints are checked."""


def counts(resources: Resources) -> np.ndarray:
    """Resources as an array, in their order."""
    return np.array(list(resources), dtype=float)


class Points(ABC):
    """Points side by side, every figure an array of them; what only a kind knows is left to it.

    ``rows``: tokens a tile; ``copies`` of the hardware.
    """

    rows: np.ndarray
    copies: np.ndarray

    def __init__(self, kind: Axes, choices: np.ndarray):
        self.kind, self.choices = kind, choices
        self.network, self.device = kind.network, kind.device
        self.mhz = kind.value(choices, "clock")
        self.clock = self.mhz * 1e6

    @property
    @abstractmethod
    def sequences(self) -> np.ndarray:
        """Sequences in flight in each copy."""

    @property
    @abstractmethod
    def resources(self) -> np.ndarray:
        """Resources of all copies, [points, 5]."""

    @property
    @abstractmethod
    def ports(self) -> np.ndarray:
        """Memory ports of all copies."""

    @property
    @abstractmethod
    def bandwidth(self) -> float | np.ndarray:
        """GB/s of memory, as `Design.bandwidth`."""

    @property
    def cache_bandwidth(self) -> float | np.ndarray:
        """GB/s through ports of keys and values, as `Design.cache_bandwidth`."""
        return inf

    @property
    @abstractmethod
    def cache_bytes(self) -> np.ndarray:
        """Bytes of keys and values of a token of all layers in off-chip memory."""

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """Bytes of all that a token reads but keys and values."""

    @abstractmethod
    def prefill(self, length: int) -> np.ndarray:
        """Cycles of a prompt of one of the lengths."""

    @abstractmethod
    def prefill_bytes(self, length: int) -> np.ndarray:
        """Bytes that a prompt of one of the lengths reads and writes."""

    @property
    @abstractmethod
    def tail(self) -> tuple[np.ndarray, np.ndarray]:
        """Of a prompt, the cycles and bytes that come behind all else, as `Phase` has them."""

    @abstractmethod
    def decode(self, sequences: np.ndarray) -> np.ndarray:
        """Cycles of a token of so many sequences, at most a tile's rows."""

    def by_bits(self, weights: int) -> np.ndarray:
        """Bytes of so many weights."""
        sizes = [weight_bytes(weights, bits) for bits in self.kind.weight_bits]
        return np.array(sizes)[self.kind.index(self.choices, "weight_bits")]

    @cached_property
    def bytes_a_cycle(self) -> np.ndarray:
        """What memory gives in a cycle."""
        return self.sustained(self.bandwidth)

    def sustained(self, bandwidth: float | np.ndarray) -> np.ndarray:
        """Bytes a cycle of so many GB/s at the peak."""
        return np.asarray(self.device.memory.sustained_bytes(bandwidth, self.mhz))

    def seconds(
        self, cycles: np.ndarray, data: np.ndarray, tail: np.ndarray | float = 0.0, tail_data: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Of a phase, as `Phase.cycles_at`."""
        given = self.bytes_a_cycle
        return np.asarray(phase_cycles(cycles, data / given, tail, tail_data / given) / self.clock)

    def turn(self, cycles: np.ndarray, weights: np.ndarray, cached: np.ndarray) -> np.ndarray:
        """Seconds of a token of some sequences, with the bytes of weights and of keys and values that it reads."""
        beside = np.where(np.isinf(self.cache_bandwidth), 0, cached)
        own = self.seconds(cycles, weights + cached - beside)
        return np.maximum(own, beside / self.sustained(self.cache_bandwidth) / self.clock)

    def constrained(self) -> tuple[np.ndarray, np.ndarray]:
        """Which points fit, and for each the constraint that is used most of what it has."""
        needed: list[Any] = [*self.resources.T]
        available: list[Any] = [share * getattr(self.device.resources, name) for name, share in PLANNED.items()]
        tokens = self.kind.prompt + self.kind.output
        in_flight = self.sequences * self.copies
        needed.append((self.by_bits(self.network.parameters) + in_flight * self.cache_bytes * tokens) / 1e9)
        available.append(self.device.memories[0].capacity_gb)
        needed.append(self.ports)
        available.append(self.device.memory.ports)
        needed.append(self.prefill_bytes(ALL) / self.prefill(ALL) * self.mhz * 1e6 / 1e9)
        available.append(self.device.memory.sustained * self.bandwidth)
        used = np.stack([
            need / have if np.all(have) else (need > 0) * 1e9 for need, have in zip(needed, available, strict=True)
        ])  # fmt: skip
        fits = np.all([need <= have for need, have in zip(needed, available, strict=True)], axis=0)
        return fits, used.argmax(axis=0)

    @cached_property
    def prompt(self) -> np.ndarray:
        """Cycles of the prompt."""
        return self.prefill(PROMPT)

    @cached_property
    def token(self) -> np.ndarray:
        """Cycles of a token of one sequence, where there are any."""
        return self.decode(np.ones_like(self.rows)) if self.decodes else np.zeros(len(self.prompt))

    @property
    def decodes(self) -> bool:
        """Whether tokens are generated."""
        return self.network.causal and self.kind.output > 0

    @property
    def read(self) -> np.ndarray:
        """Bytes of keys and values that a token of one sequence reads."""
        return np.asarray(self.cache_bytes * (self.kind.prompt + self.kind.output // 2))

    @cached_property
    def times(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seconds to the first token, of a token of one sequence (0 where there is none), and of a run."""
        first = self.seconds(self.prompt, self.prefill_bytes(PROMPT), *self.tail)
        token = self.turn(self.token, self.weights, self.read) if self.decodes else self.token
        return first, token, first + max(self.kind.output - 1, 0) * token

    @property
    def throughput(self) -> np.ndarray:
        """Tokens a second with as many sequences as fill the design."""
        if not self.decodes:
            data = self.copies * self.prefill_bytes(PROMPT)
            return np.asarray(self.copies * self.kind.prompt / self.seconds(self.prompt, data))
        together = self.sequences * self.copies
        turn = self.turn(self.decode(self.sequences), self.copies * self.weights, together * self.read)
        return np.asarray(together / turn)

    def figures(self) -> np.ndarray:
        """All `FIGURES`, [points, figures]."""
        first, token, run = self.times
        energy = energy_proxy(self.device, self.network, self.resources.T, self.mhz, run)
        own = first, token, self.throughput, energy, *self.resources.T, self.prompt, self.token
        return np.stack(own, axis=1)
