"""The designs that are explored: their axes, a point of them, and how points are drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

from ...errors import InputError
from ...model.network import Network
from ..budget import PLANNED
from ..candidates import weight_channels
from ..channels import shared_channels
from ..decoder import DecoderSpec
from ..device import Device
from ..spec import ARRAYS, LINEAR_UNITS, ArrayShape, PipelineSpec
from .copies import CopiedDesign
from .tables import Tables

__all__ = ["AXES", "Point", "Space"]

AXES = ("group", *ARRAYS, "weight_layers", "copies", "weight_bits", "clock", "cache")
"""The columns of a choice, each an index: tile and lanes; the shapes of the arrays; layers whose weights are resident;
copies of the layer's hardware; bits of a weight; the clock; whether the KV cache lies on chip."""

MAX_COPIES = 8
CLOCKS = (0.6, 0.8, 1.0)
"""Shares of the planning clock, which is the highest that is tried."""

BALANCED = 0.75
"""Share of the points whose arrays are drawn to keep one pace; the others are drawn alike from all there are."""

NEIGHBOUR = 0.15
"""How often an array of a balanced point is the next faster, and how often the next slower one."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A design: the layer's geometry and, beside it, ``copies`` of it, ``weight_bits`` in memory, ``clock_mhz``."""

    network: Network
    device: str
    spec: PipelineSpec
    copies: int
    weight_bits: int
    clock_mhz: int

    @property
    def design(self) -> CopiedDesign:
        """What estimates are made of."""
        return CopiedDesign(self.network, self.spec, self.weight_bits, self.copies)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        geometry = {field.name: getattr(self.spec, field.name) for field in fields(self.spec)}
        return {
            "network": asdict(self.network),
            "device": self.device,
            "geometry": {name: list(value) if isinstance(value, tuple) else value for name, value in geometry.items()},
            "copies": self.copies,
            "weight_bits": self.weight_bits,
            "clock_mhz": self.clock_mhz,
        }

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Self:
        """The point that `as_dict` made such values of; others beside them are ignored.

        Raises:
            InputError: for what is no point, with what lacks or is wrong.
        """
        try:
            network = Network(**values["network"])
            geometry: dict[str, Any] = {
                name: ArrayShape(*value) if name in ARRAYS else tuple(value) if isinstance(value, list) else value
                for name, value in values["geometry"].items()
            }
            spec = (DecoderSpec if network.causal else PipelineSpec)(**geometry)
            plain = {name: values[name] for name in ("device", "copies", "weight_bits", "clock_mhz")}
            for name, value in plain.items():
                if type(value) is not (str if name == "device" else int):
                    raise ValueError(f"{name} is {value!r}")
            return cls(network=network, spec=spec, **plain)
        except KeyError as error:
            raise InputError(f"{source} must be a point as explore writes them, but lacks {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{source} must be a point as explore writes them: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Space:
    """All designs of ``network`` on ``device`` for prompts of ``prompt`` tokens and ``output`` more.

    ``every``: all shapes there are of every array, for networks small enough to enumerate; else those that no other
    beats in both cycles and DSPs, as the chooser takes them.

    Raises:
        InputError: for a network that has no geometry.
    """

    network: Network
    device: Device
    prompt: int
    output: int
    every: bool = False

    @cached_property
    def tables(self) -> Tables:
        """The figures of every option of every unit."""
        return Tables.build(self.network, self.prompt, self.output, every=self.every)

    @cached_property
    def copies(self) -> tuple[int, ...]:
        """Copies of the layer's hardware: divisors of the layers of which the smallest have the DSPs."""
        layers, tables = self.network.layers, self.tables
        room = PLANNED["dsp"] * self.device.resources.dsp // tables.least_dsps
        return tuple(c for c in range(1, MAX_COPIES + 1) if layers % c == 0 and c <= max(1, room))

    @cached_property
    def weight_bits(self) -> tuple[int, ...]:
        """Bits of a weight."""
        return (8, 4) if self.network.causal else (8,)

    @cached_property
    def clocks(self) -> tuple[int, ...]:
        """Clocks in MHz."""
        return tuple(round(share * self.device.clock_mhz) for share in CLOCKS)

    @cached_property
    def channels(self) -> int:
        """Memory channels for the weights of all copies."""
        return weight_channels(self.device)

    def sizes(self, group: Any) -> list[Any]:
        """How many choices each axis has, in points whose tile and lanes are these."""
        arrays = [self.tables.options[name].size[group] for name in ARRAYS]
        caches = 2 if self.network.causal else 1
        return [
            len(self.tables.groups), *arrays, 2, len(self.copies), len(self.weight_bits), len(self.clocks), caches
        ]  # fmt: skip

    @cached_property
    def size(self) -> int:
        """How many points there are."""
        return sum(int(np.prod([int(n) for n in self.sizes(g)[1:]])) for g in range(len(self.tables.groups)))

    def draw(self, seed: int, batch: int, count: int) -> np.ndarray:
        """``count`` points, [points, axes]: the same for the same seed and batch, whatever was drawn before."""
        random = np.random.default_rng([seed, batch])
        group = random.integers(len(self.tables.groups), size=count)
        uniform = random.random((count, len(AXES)))
        sizes = np.stack([np.broadcast_to(size, count) for size in self.sizes(group)], axis=1)
        choices = (uniform * sizes).astype(np.int64)
        choices[:, 0] = group
        balanced = random.random(count) < BALANCED
        paces = self.tables.pace_limits[group]
        pace = paces[:, 0] * (paces[:, 1] / paces[:, 0]) ** random.random(count)
        for axis, name in enumerate(ARRAYS, start=1):
            options = self.tables.options[name]
            step = random.choice([-1, 0, 1], size=count, p=[NEIGHBOUR, 1 - 2 * NEIGHBOUR, NEIGHBOUR])
            kept = np.clip(options.slowest_within(group, pace) + step, 0, options.size[group] - 1)
            choices[:, axis] = np.where(balanced, kept, choices[:, axis])
        return choices

    def enumerate(self, chunk: int = 1 << 14) -> Iterator[np.ndarray]:
        """Every point, in arrays as `draw` gives them."""
        for group in range(len(self.tables.groups)):
            sizes = [int(size) for size in self.sizes(group)[1:]]
            total = int(np.prod(sizes))
            for start in range(0, total, chunk):
                places = np.unravel_index(np.arange(start, min(total, start + chunk)), sizes)
                yield np.stack([np.full(len(places[0]), group), *places], axis=1)

    def values(self, choice: np.ndarray) -> Mapping[str, Any]:
        """What a choice stands for, axis by axis."""
        rows, lanes, ffn_lanes, score_lanes = self.tables.groups[choice[0]]
        shapes = {
            name: ArrayShape(*map(int, self.tables.options[name].shapes[choice[0]][choice[axis]]))
            for axis, name in enumerate(ARRAYS, start=1)
        }
        own = dict(zip(AXES, map(int, choice), strict=True))
        return {
            "rows": rows, "lanes": lanes, "ffn_lanes": ffn_lanes, "score_lanes": score_lanes, **shapes,
            "weight_layers": 1 + own["weight_layers"], "copies": self.copies[own["copies"]],
            "weight_bits": self.weight_bits[own["weight_bits"]], "clock_mhz": self.clocks[own["clock"]],
            "cache_on_chip": self.network.causal and not own["cache"],
        }  # fmt: skip

    def point(self, choice: np.ndarray) -> Point:
        """The design of a choice, built through its spec."""
        values = dict(self.values(choice))
        plain = {name: values.pop(name) for name in ("copies", "weight_bits", "clock_mhz")}
        if not self.network.causal:
            del values["cache_on_chip"]
        rams = np.array([values[name].columns * values[name].cascades for name in LINEAR_UNITS])
        columns = np.array([values[name].columns for name in LINEAR_UNITS])
        channels = shared_channels(self.channels // plain["copies"], rams, columns)
        spec = self.tables.spec(channels=tuple(map(int, channels)), **values)
        return Point(network=self.network, device=self.device.name, spec=spec, **plain)
