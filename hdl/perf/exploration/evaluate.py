"""Many points at once: their figures by lookup, sum and maximum, and what refuses those that do not fit.

The same as a `CopiedDesign` and `estimate_design` give for each, which a test holds; but for an encoder's cycles, which
are `screened_cycles`, and the SLRs, which only the front is checked for.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np

from ...kernels.shared import MAX_TERMS, shared_cycles, weight_bytes
from ..budget import PLANNED
from ..channels import shared_channels
from ..constraints import NAMES, STREAM_SHARE
from ..decoder import ring_cycles
from ..spec import ARRAYS, LINEAR_UNITS
from .copies import encoder_cycles, energy_proxy
from .pareto import pareto_front
from .space import AXES, Space

__all__ = ["CONSTRAINTS", "FIGURES", "Evaluated", "costs", "evaluate"]

CONSTRAINTS = (*NAMES.values(), "memory capacity", "memory ports", "bandwidth")
"""What refuses a point here, by the names of `constraints`."""

FIGURES = (
    "first_token", "token", "throughput", "energy", "dsp", "bram36", "uram", "lut", "ff", "prefill_cycles",
    "token_cycles",
)  # fmt: skip
"""What is found of a point: seconds to the first token (of an encoder, of the run) and of a token (0 where there is
none); tokens a second with as many sequences as fill the design; joules of a run; resources; cycles."""

PROMPT, ALL = 0, 1


@dataclass(frozen=True)
class Evaluated:
    """Points: ``choices`` of those that fit, [points, axes], with their ``figures``, [points, `FIGURES`]; which of them
    are their ``front``; how many each of `CONSTRAINTS` ``refused``, counted for the one that is missed by most."""

    choices: np.ndarray
    figures: np.ndarray
    front: np.ndarray
    refused: np.ndarray


def evaluate(space: Space, choices: np.ndarray) -> Evaluated:
    """The figures of points, [points, axes]."""
    points = Points(space, choices)
    fits, refused = points.constrained()
    counted = np.bincount(refused[~fits], minlength=len(CONSTRAINTS))
    kept = Points(space, choices[fits])
    figures = kept.figures()
    return Evaluated(kept.choices, figures, pareto_front(costs(figures), kept.choices), counted)


def costs(figures: np.ndarray) -> np.ndarray:
    """What a front is to make small, [points, objectives], of `FIGURES`: seconds to the first token, seconds a token
    (where there is one), seconds a token with all sequences in flight, DSPs, joules."""
    first, token, throughput, energy, dsp = figures.T[:5]
    times = [first, token] if token.any() else [first]
    return np.stack([*times, 1 / throughput, dsp, energy], axis=1)


class Points:
    """Points side by side, every figure an array of them."""

    def __init__(self, space: Space, choices: np.ndarray):
        self.space, self.tables, self.choices = space, space.tables, choices
        self.network, self.device = space.network, space.device
        axis = {name: choices[:, place] for place, name in enumerate(AXES)}
        self.group, self.layers, self.cache = axis["group"], axis["weight_layers"], axis["cache"]
        self.options = self.tables.options
        self.option = {name: self.options[name].start[self.group] + axis[name] for name in ARRAYS}
        self.copies = np.array(space.copies)[axis["copies"]]
        self.mhz = np.array(space.clocks)[axis["clock"]]
        self.rows = np.array([group[0] for group in self.tables.groups])[self.group]
        self.clock = self.mhz * 1e6
        self.bytes_a_cycle = STREAM_SHARE * (self.device.memory.bandwidth_gb_s * 1e9) / self.clock

    def of(self, name: str, figure: str) -> np.ndarray:
        """A figure of an array's option."""
        return np.asarray(getattr(self.options[name], figure)[self.option[name]])

    @cached_property
    def columns(self) -> np.ndarray:
        """Columns of the linear units, [units, points]."""
        return np.stack([self.of(name, "columns") for name in LINEAR_UNITS])

    @cached_property
    def chains(self) -> np.ndarray:
        """Beats of a pass's sums of the linear units, [units, points]."""
        return np.stack([self.of(name, "chain") for name in LINEAR_UNITS])

    @cached_property
    def cascades(self) -> np.ndarray:
        """Cascades of the linear units, [units, points]."""
        return np.stack([self.of(name, "cascades") for name in LINEAR_UNITS])

    @cached_property
    def channels(self) -> np.ndarray:
        """Memory channels of the linear units, [units, points]."""
        return shared_channels(self.space.channels // self.copies, self.columns * self.cascades, self.columns)

    @cached_property
    def banks(self) -> np.ndarray:
        """RAMs of keys and values that are read at once."""
        scores, sums = (self.of(name, "columns") * self.of(name, "cascades") for name in ("scores", "sums"))
        return scores + sums

    @property
    def joint(self) -> np.ndarray:
        """Where what joins the units stands, by the pair of scores and sums."""
        scores, sums = (self.option[name] - self.options[name].start[self.group] for name in ("scores", "sums"))
        return np.asarray(self.tables.joint_start[self.group] + scores * self.options["sums"].size[self.group] + sums)

    @cached_property
    def resources(self) -> np.ndarray:
        """Resources of all copies, [points, 5]."""
        total = self.tables.resources[self.group] + self.of("scores", "resources")[:, 0]
        every = np.arange(len(self.group))
        total = total + self.of("sums", "resources")[every, self.of("scores", "style")]
        total = total + self.tables.joints[self.joint] + self.tables.cache_resources[self.cache, self.banks]
        for name, channels in zip(LINEAR_UNITS, self.channels, strict=True):
            total = total + self.of(name, "resources")[every, self.layers]
            total = total + (channels - 1)[:, None] * self.of(name, "channel")
        return np.asarray(total * self.copies[:, None])

    @cached_property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Where what depends on both scores and sums stands."""
        return self.option["scores"], self.of("sums", "cascades")

    @cached_property
    def linear(self) -> np.ndarray:
        """Cycles of a tile in the linear units, [units, points]."""
        return np.stack([self.of(name, "cycles")[:, PROMPT] for name in LINEAR_UNITS])

    @cached_property
    def reload(self) -> np.ndarray:
        """As `reload_cycles`."""
        words = np.stack([self.of(name, "layer_words") for name in LINEAR_UNITS])
        rams = -(-self.columns // self.channels) * self.cascades
        late = np.maximum(0, (words * -(-rams // 8) - self.linear).max(axis=0))
        return np.where(self.layers == 0, late, 0)

    @cached_property
    def latencies(self) -> np.ndarray:
        """Latencies of the linear units' arrays, [units, points]."""
        every = np.arange(len(self.group))
        return np.stack([self.of(name, "latency")[every, self.layers] for name in LINEAR_UNITS])

    def product(self, place: int, inputs: int, outputs: int) -> np.ndarray:
        """Cycles of a product that all linear units share."""
        passes = np.stack([self.of(name, "passes")[:, place] for name in LINEAR_UNITS])
        cycles = shared_cycles(outputs * ceil(inputs / MAX_TERMS), passes, self.columns, self.chains)
        return cycles + self.latencies.max(axis=0)

    @cached_property
    def head(self) -> np.ndarray:
        """Cycles of the head for a token."""
        return self.product(len(LINEAR_UNITS), self.network.hidden, self.network.vocabulary)

    def prefill(self, length: int) -> np.ndarray:
        """Cycles of a prompt of one of the lengths."""
        tokens = self.space.prompt + (self.space.output if length == ALL else 0)
        tiles = -(-tokens // self.rows)
        scores, sums = (self.of(name, "cycles")[:, length] for name in ("scores", "sums"))
        linear = self.linear
        softmax, rows = self.options["scores"].softmax[self.pair][:, length], self.options["scores"].rows[self.pair]
        pace = np.max([rows, *linear, scores, softmax, sums], axis=0).astype(np.int64)
        stream = self.tables.stream[self.group, 0]
        if not self.network.causal:
            qkv = linear[LINEAR_UNITS.index("qkv")]
            busy = linear.sum(axis=0) - qkv + sums + 2 * qkv // 3
            latency = self.latencies.sum(axis=0) + self.of("scores", "latency") + self.of("sums", "latency")
            lead = np.maximum(rows.astype(np.int64), qkv)
            fill = busy + latency + stream
            return np.asarray(encoder_cycles(tiles, self.network.layers, pace, lead, fill, self.reload))
        loop = self.copies * (linear.sum(axis=0) + scores + sums + stream)
        rounds = self.network.layers // self.copies
        return np.asarray(ring_cycles(tiles, rounds, tiles * pace, loop) + (rounds - 1) * self.reload + self.head)

    def by_bits(self, weights: int) -> np.ndarray:
        """Bytes of so many weights."""
        sizes = [weight_bytes(weights, bits) for bits in self.space.weight_bits]
        return np.asarray(np.array(sizes)[self.choices[:, AXES.index("weight_bits")]])

    @cached_property
    def weights(self) -> np.ndarray:
        """Bytes of all weights and parameters."""
        layer, head = (self.by_bits(count) for count in (self.network.layer_weights, self.network.head_weights))
        return np.asarray(self.network.layers * (layer + 64 * self.tables.beats[self.group]) + head)

    @cached_property
    def off_chip(self) -> np.ndarray:
        """Whether keys and values lie in off-chip memory."""
        return (self.cache == 1) if self.network.causal else np.zeros(len(self.group), dtype=bool)

    @cached_property
    def sequences(self) -> np.ndarray:
        """Sequences in each copy, as `flight`."""
        return np.where(self.off_chip, self.rows, 1)

    @cached_property
    def cache_bytes(self) -> Any:
        """Bytes of keys and values of a token of all layers in off-chip memory."""
        return np.where(self.off_chip, self.network.kv_features * self.network.layers, 0)

    def decode(self, sequences: np.ndarray) -> np.ndarray:
        """Cycles of a token of so many sequences, at most a tile's rows."""
        reading = self.tables.cache_cycles[self.banks] // 2
        stages = self.tables.stream[self.group, 1] + sum(
            sequences * np.maximum(self.of(name, "full"), reading) for name in ("scores", "sums")
        )
        for place, operator in enumerate(self.network.operators):
            stages = stages + self.product(place, operator.inputs, operator.outputs)
        return np.asarray(self.network.layers * stages + self.head)

    def seconds(self, cycles: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Of a phase, as `Phase.cycles_at`."""
        return np.maximum(cycles, data / self.bytes_a_cycle) / self.clock

    def constrained(self) -> tuple[np.ndarray, np.ndarray]:
        """Which points fit, and for each the constraint that is used most of what it has."""
        needed = [*self.resources.T]
        available = [share * getattr(self.device.resources, name) for name, share in PLANNED.items()]
        tokens = self.space.prompt + self.space.output
        in_flight = self.sequences * self.copies
        needed.append((self.by_bits(self.network.parameters) + in_flight * self.cache_bytes * tokens) / 1e9)
        available.append(self.device.memories[0].capacity_gb)
        needed.append((self.channels.sum(axis=0) + 1 + self.off_chip) * self.copies)
        available.append(self.device.memory.ports)
        needed.append(self.weights / self.prefill(ALL) * self.mhz * 1e6 / 1e9)
        available.append(STREAM_SHARE * self.device.memory.bandwidth_gb_s)
        used = np.stack([
            need / have if have else (need > 0) * 1e9 for need, have in zip(needed, available, strict=True)
        ])  # fmt: skip
        fits = np.all([need <= have for need, have in zip(needed, available, strict=True)], axis=0)
        return fits, used.argmax(axis=0)

    def figures(self) -> np.ndarray:
        """All `FIGURES`, [points, figures]."""
        prefill = self.prefill(PROMPT)
        first = self.seconds(prefill, self.weights)
        token, cycles = np.zeros(len(prefill)), np.zeros(len(prefill))
        if self.network.causal and self.space.output:
            context = self.space.prompt + self.space.output // 2
            read = self.cache_bytes * context
            cycles = self.decode(np.ones_like(self.rows))
            token = self.seconds(cycles, self.weights + read)
            together = self.sequences * self.copies
            turn = self.seconds(self.decode(self.sequences), self.copies * self.weights + together * read)
            throughput = together / turn
        else:
            throughput = self.copies * self.space.prompt / self.seconds(prefill, self.copies * self.weights)
        run = first + max(self.space.output - 1, 0) * token
        energy = energy_proxy(self.device, self.network, self.resources.T, self.mhz, run)
        return np.stack([first, token, throughput, energy, *self.resources.T, prefill, cycles], axis=1)
