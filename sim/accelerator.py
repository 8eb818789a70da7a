"""The whole accelerator in a simulator: tokens of a sequence in, every layer's output out, with the cycles it took."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np

from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.control import RunOrder
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import MemoryImage
from sim import beats
from sim.amaranth_simulation import InterpretedSimulation
from sim.simulation import LiveSimulation, Progress
from sim.streams import StreamPort, stream_ports, unused
from sim.verilator import build

__all__ = ["MAX_IDLE", "Accelerator", "AcceleratorRun", "layers_of"]

TOKEN_BITS = 16
MAX_IDLE = 100_000
"""Cycles without a beat on any stream after which a simulation is given up; the longest pause is a layer's fill."""


@dataclass(frozen=True)
class AcceleratorRun:
    """One sequence: ``layers`` int64 [layers, tokens, hidden], the output of each; ``cycles`` from the first beat in
    to the last out."""

    layers: np.ndarray
    cycles: int


class Accelerator:
    """A pipeline in a simulator, with a model in its memory: one live instance, and sequences of any length and number
    of layers one after the other, without a reset between."""

    def __init__(self, spec: PipelineSpec, image: MemoryImage, simulation: LiveSimulation):
        self.spec = spec
        self._streams = image.streams()
        self._image_layers = len(image.channels["parameters"]) // spec.sections["layer"].beats
        self._simulation = simulation

    @classmethod
    def verilated(
        cls,
        spec: PipelineSpec,
        sources: Mapping[str, str],
        image: MemoryImage,
        *,
        threads: int = 2,
        trace: bool = False,
        optimise: str = "-O2",
    ) -> Self:
        """The emitted Verilog in Verilator."""
        design = build(sources, "pipeline", ports_of(spec), threads=threads, trace=trace, optimise=optimise)
        return cls(spec, image, design.start())

    @classmethod
    def interpreted(cls, spec: PipelineSpec, image: MemoryImage) -> Self:
        """The Amaranth design in Amaranth's own simulator; for small pipelines."""
        return cls(spec, image, InterpretedSimulation(Pipeline(spec), ports_of(spec)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._simulation.close()

    def run(
        self,
        tokens: np.ndarray,
        *,
        layers: int | None = None,
        gaps: int | None = None,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> AcceleratorRun:
        """Runs a sequence of embedded tokens, int16 [tokens, hidden], through the first ``layers`` layers (default:
        all).

        Raises:
            Deadlock: nothing moved for a long time.
        """
        spec = self.spec
        layers = layers or self._image_layers
        count = ceil(len(tokens) / spec.rows)
        order = {"tokens": [len(tokens)], "layers": [layers], "trace": [1]}
        inputs = {
            "run": beats.encode(RunOrder(spec), order),
            "tokens": beats.pack(self._beats(tokens, count) & 0xFFFF, TOKEN_BITS),
            **{name: part[: len(part) // self._image_layers * layers] for name, part in self._streams.items()},
        }
        wanted = layers * count * spec.tile_beats
        result = self._simulation.run(
            inputs, {"outputs": wanted}, gaps=gaps, max_idle=MAX_IDLE, waves=waves, progress=progress
        )
        found = layers_of(result.outputs["outputs"], spec, layers, count)
        cycles = int(result.accepted["outputs"][-1] - result.accepted["tokens"][0]) + 1
        return AcceleratorRun(found[:, : len(tokens)], cycles)

    def _beats(self, tokens: np.ndarray, count: int) -> np.ndarray:
        """[tokens, hidden] as beats [n, rows * lanes], the last tile filled up with zeros."""
        spec = self.spec
        padded = np.zeros((count * spec.rows, spec.hidden), np.int64)
        padded[: len(tokens)] = tokens
        tiles = padded.reshape(count, spec.rows, spec.tile_beats, spec.lanes).transpose(0, 2, 1, 3)
        return tiles.reshape(-1, spec.rows * spec.lanes)


def ports_of(spec: PipelineSpec) -> list[StreamPort]:
    """The streams of a pipeline's top."""
    return [port for port, _ in stream_ports(unused(Pipeline(spec))).values()]


def layers_of(raw: np.ndarray, spec: PipelineSpec, layers: int, tiles: int) -> np.ndarray:
    """The outputs of layers, int64 [layers, tiles * rows, hidden], of their beats on the stream of tokens."""
    values = beats.unpack(raw, TOKEN_BITS, spec.rows * spec.lanes, signed=True)
    cut = values.reshape(layers, tiles, spec.tile_beats, spec.rows, spec.lanes).transpose(0, 1, 3, 2, 4)
    return cut.reshape(layers, tiles * spec.rows, spec.hidden)
