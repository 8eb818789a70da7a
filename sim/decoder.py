"""A decoder in a simulator: tokens in, the best candidates for the next one out, with the cycles it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from hdl.channel import BEAT_BYTES
from hdl.model.reference import Candidates
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.decoder.orders import Command, Outcome
from hdl.top.image import MemoryImage
from sim import beats
from sim.accelerator import MAX_IDLE, layers_of
from sim.amaranth_simulation import InterpretedSimulation
from sim.memory import MemoryChannel
from sim.simulation import LiveSimulation, Progress
from sim.streams import MemoryUse, StreamPort, stream_ports, unused
from sim.verilator import build

__all__ = ["DecoderSimulation", "RefusedError", "SimulatedDecoderRun", "ports_of"]


class RefusedError(Exception):
    """A command that the decoder refuses; ``outcome`` says why."""

    def __init__(self, outcome: Outcome):
        super().__init__(f"the decoder refuses: {outcome.name}")
        self.outcome = outcome


@dataclass(frozen=True)
class SimulatedDecoderRun:
    """A command's end.

    ``candidates``, the best first; ``position`` of the next token; ``cycles`` from the last id in to the last candidate
    out; ``layers`` int64 [layers, tokens, hidden] where they were traced, the outputs of all layers; ``memory``: what
    became of the channels' cycles, by name.
    """

    candidates: Candidates
    position: int
    cycles: int
    layers: np.ndarray | None
    memory: Mapping[str, MemoryUse]


class DecoderSimulation:
    """A decoder with a model in its memory. Close it, or use it in a `with`."""

    def __init__(self, spec: DecoderSpec, simulation: LiveSimulation):
        self.spec, self._simulation = spec, simulation
        self._shapes = {name: shape for name, (_, shape) in stream_ports(unused(DecoderPipeline(spec))).items()}
        self._position = 0

    @classmethod
    def verilated(
        cls,
        spec: DecoderSpec,
        sources: Mapping[str, str],
        image: MemoryImage,
        *,
        timing: MemoryTiming | None = None,
        cache_timing: MemoryTiming | None = None,
        threads: int = 2,
        trace: bool = False,
        optimise: str = "-O2",
    ) -> Self:
        """The emitted Verilog in Verilator; memory answers at once where no ``timing`` is given, that of keys and
        values where they lie off chip by its own ``cache_timing``, if there is one."""
        design = build(sources, "decoder", ports_of(spec), threads=threads, trace=trace, optimise=optimise)
        return cls(spec, design.start(memories=channels_of(spec, image, timing, cache_timing)))

    @classmethod
    def interpreted(cls, spec: DecoderSpec, image: MemoryImage, *, timing: MemoryTiming | None = None) -> Self:
        """The Amaranth design in Amaranth's own simulator, with the same memory; for small decoders."""
        memories = channels_of(spec, image, timing)
        return cls(spec, InterpretedSimulation(DecoderPipeline(spec), ports_of(spec), memories=memories))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._simulation.close()

    def run(
        self,
        ids: Sequence[int],
        *,
        restart: bool = False,
        k: int = 1,
        traced: bool = False,
        gaps: int | None = None,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> SimulatedDecoderRun:
        """Takes the next tokens of a text, or with ``restart`` the first, and gives the ``k`` best candidates.

        Raises:
            RefusedError: where the decoder refuses.
            Deadlock: nothing moved for a long time.
        """
        start = 0 if restart else self._position
        refused = self._refused(ids, start, k)
        tiles = 0 if refused else (start + len(ids) - 1) // self.spec.rows - start // self.spec.rows + 1
        wanted = {"status": 1}
        if not refused:
            wanted["results"] = k
            if traced:
                wanted["outputs"] = self.spec.max_layers * tiles * self.spec.tile_beats
        inputs = self._inputs(ids, restart, k, traced)
        # While a long prompt passes a layer whose next weights have all come, nothing may move at the ports.
        layer = tiles * max(unit.spec.tile_cycles(self.spec.max_length) for unit in self.spec.sections["layer"])
        idle = max(MAX_IDLE, 2 * layer)
        result = self._simulation.run(inputs, wanted, gaps=gaps, max_idle=idle, waves=waves, progress=progress)
        status = beats.decode(self._shapes["status"], result.outputs["status"])
        outcome = Outcome(int(status["outcome"][0]))
        if outcome is not Outcome.DONE:
            raise RefusedError(outcome)
        self._position = int(status["position"][0])
        found = beats.decode(self._shapes["results"], result.outputs["results"])
        candidates = Candidates(*(np.asarray(found[name], dtype=np.int64) for name in ("token", "logit")))
        layers = None
        if traced:
            first = start % self.spec.rows
            whole = layers_of(result.outputs["outputs"], self.spec, self.spec.max_layers, tiles)
            layers = whole[:, first : first + len(ids)]
        cycles = int(result.accepted["results"][-1] - result.accepted["ids"][-1])
        return SimulatedDecoderRun(candidates, self._position, cycles, layers, result.memory)

    def _inputs(self, ids: Sequence[int], restart: bool, k: int, traced: bool) -> dict[str, np.ndarray]:
        """A command and its ids as beats."""
        command = {"restart": [restart], "trace": [traced], "k": [k], "tokens": [len(ids)]}
        inputs = {"commands": beats.encode(Command(self.spec), command)}
        return inputs | ({"ids": beats.encode(self._shapes["ids"], list(ids))} if ids else {})

    def _refused(self, ids: Sequence[int], start: int, k: int) -> bool:
        """Whether there will be no results to wait for."""
        spec = self.spec
        known = all(token < spec.vocabulary for token in ids)
        return not (ids and known and start + len(ids) <= spec.positions and 1 <= k <= spec.largest)

    def interrupt(self, ids: Sequence[int], cycles: int) -> None:
        """Begins to take the next tokens, and after so many cycles resets the decoder."""
        self._simulation.run_cycles(self._inputs(ids, False, 1, False), {"status": 1, "results": 1}, cycles)
        self.reset()

    def reset(self) -> None:
        """Resets the decoder: the next text begins at position 0."""
        self._simulation.reset()
        self._position = 0


def channels_of(
    spec: DecoderSpec,
    image: MemoryImage,
    timing: MemoryTiming | None,
    cache_timing: MemoryTiming | None = None,
) -> list[MemoryChannel]:
    """The memory that the model lies in, and where keys and values lie off chip, theirs."""
    timing = timing or IDEAL
    channels = [MemoryChannel(name, contents, timing=timing) for name, contents in image.channels.items()]
    cache_timing = cache_timing or timing
    return channels + [MemoryChannel(name, held, timing=cache_timing) for name, held in empty(spec).items()]


def empty(spec: DecoderSpec) -> dict[str, np.ndarray]:
    """The channels of keys and values that lie off chip, by name, uint8 [beats, 64]."""
    return {
        f"{name}__{index}": np.zeros((memory.beats, BEAT_BYTES), np.uint8)
        for name, memory in spec.memories.items()
        for index in range(memory.channels)
    }


def ports_of(spec: DecoderSpec) -> list[StreamPort]:
    """The streams of a decoder's top."""
    return [port for port, _ in stream_ports(unused(DecoderPipeline(spec))).values()]
