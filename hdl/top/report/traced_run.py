"""Counted runs (`EncoderSchedule`, `DecoderSchedule`) with the times in which their units are busy."""

from functools import partial
from typing import Any

import numpy as np

from ...perf.schedule.decoder_schedule import DecoderSchedule
from ...perf.schedule.encoder_schedule import EncoderSchedule
from ...perf.schedule.memory_reader import MemoryReader
from .timeline import Span

__all__ = ["LOAD", "TracedEncoder", "TracedRun"]

LOAD = "load "
"""In front of the name of what comes from memory."""

CLOSE = 16
"""Cycles that pieces of work lie apart at most to be kept as one: less than can be drawn."""


class TracedEncoder(EncoderSchedule):
    """A run that keeps when its units are busy, by their names."""

    def __init__(self, *arguments: Any, **options: Any):
        self.worked: dict[str, list[Span]] = {}
        self.number = 0
        super().__init__(*arguments, **options)

    def serve(self, name: str, cycles: int | np.ndarray, earliest: np.ndarray) -> np.ndarray:
        """When pieces end in the unit ``name``."""
        ends = super().serve(name, cycles, earliest)
        self.keep(name, ends, cycles)
        return ends

    def layer(self, arrived: np.ndarray) -> np.ndarray:
        """A layer; what follows belongs to the next."""
        left = super().layer(arrived)
        self.number += 1
        return left

    def spans(self, *, tiles: bool = False) -> dict[str, list[Span]]:
        """When each unit is busy, by layer, what comes after the last layer behind it; or by tile, where the unit works
        tile by tile."""
        return {
            name: [
                one._replace(turn=one.turn * self.tiles + one.tile) if tiles and one.tile is not None else one
                for one in every
            ]
            for name, every in self.worked.items()
        }

    def keep(self, name: str, ends: np.ndarray, cycles: Any) -> None:
        """Pieces of so many cycles each whose last beats come at these times, [tiles, ...], of the present layer."""
        tiles = np.repeat(np.arange(len(ends)), ends.size // len(ends))
        self.keep_bursts(name, ends.reshape(-1) + 1, np.broadcast_to(cycles, ends.shape).reshape(-1), tiles)

    def keep_bursts(
        self, name: str, ends: np.ndarray, cycles: np.ndarray, tiles: np.ndarray | None = None, share: float = 1.0
    ) -> None:
        """Pieces in order, each of which ends then and takes so many cycles; those of a tile that are close together
        as one."""
        starts, of = ends - cycles, np.zeros(len(ends), dtype=int) if tiles is None else tiles
        apart = (starts[1:] - ends[:-1] > CLOSE) | (of[1:] != of[:-1])
        first = np.flatnonzero(np.concatenate([[True], apart]))
        last = np.append(first[1:], len(ends)) - 1
        work = np.add.reduceat(cycles, first) * share
        found = zip(starts[first].tolist(), ends[last].tolist(), of[first].tolist(), work.tolist(), strict=True)
        self.worked.setdefault(name, []).extend(
            Span(start, end, self.number, done / (end - start), None if tiles is None else tile)
            for start, end, tile, done in found
        )


class TracedRun(TracedEncoder, DecoderSchedule):
    """A decoder's run that keeps when its units are busy, and when its memory is read.

    Of what all arrays compute together, and of all channels of weights, the share that is busy is kept: arrays count by
    their multipliers, of which a word that enters takes a cycle, channels by the beats that they could bring.
    """

    def __init__(self, *arguments: Any, **options: Any):
        self.working = ""
        super().__init__(*arguments, **options)
        arrays = self.rounds.arrays
        multipliers = sum(one.array.macs for one in arrays)
        for one in arrays:
            one.watch = partial(self._entered, one.array.macs / multipliers)

    def reader(self, name: str) -> MemoryReader:
        """The readers of a unit's weights, or of the parameters, whose beats are kept."""
        found = super().reader(name)
        channels = {name: self.spec.linear(name).channels for name in self.spec.products}
        if name in channels:
            found.watch = partial(self._loaded, channels[name] / sum(channels.values()))
        else:
            found.watch = partial(self._load, name)
        return found

    def embedded(self) -> np.ndarray:
        """When each tile is there; rows come without a break."""
        ends = super().embedded()
        self.keep("embedding", ends, np.diff(ends, prepend=self.begins))
        return ends

    def linear(self, name: str, arrived: np.ndarray, parts: int = 1) -> np.ndarray:
        """A product, whose weights and words are kept as its own."""
        self.working = name
        return super().linear(name, arrived, parts)

    def layer(self, arrived: np.ndarray) -> np.ndarray:
        """A layer; what of keys and values was loaded for it is kept."""
        number, left = self.number, super().layer(arrived)
        for name, load in self.loads.items():
            if load.cycles:
                loaded = Span(load.end - load.cycles, load.end, number)
                self.worked.setdefault(LOAD + name, []).append(loaded)
        return left

    def _entered(self, share: float, when: np.ndarray) -> None:
        """Words that enter one of the arrays, which has such a ``share`` of all multipliers."""
        tiles = np.zeros(len(when), dtype=int)
        self.keep_bursts(self.working, when + 1, np.ones(len(when)), tiles, share)

    def _loaded(self, share: float, when: np.ndarray, beats: float) -> None:
        self._load(self.working, when, beats, share)

    def _load(self, name: str, when: np.ndarray, beats: float, share: float = 1.0) -> None:
        """Pieces that are there on all channels, [channels, pieces], which are such a share of all."""
        cycles = np.full(when.shape[1], beats / float(self.timing.rate))
        self.keep_bursts(LOAD + name, when.max(axis=0), cycles, None, share)
