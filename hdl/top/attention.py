"""Attention between its two linear units, as encoders and decoders have it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..kernels.requantise import Requantise
from ..kernels.scores import Scores
from ..kernels.softmax import Softmax
from ..kernels.weightedsum import WeightedSums
from ..perf.spec import PipelineSpec
from ..stream import Fork, StreamBuffer, connect, tile
from .composition import Composition

__all__ = ["Attention", "attend"]


class Attention(NamedTuple):
    """The units, whose orders are still to come, and the ``context`` (tile stream of int16) that they give; ``taps``:
    where asked for, the tiles of keys and of values once more."""

    scores: Scores
    softmax: Softmax
    sums: WeightedSums
    context: Any
    taps: tuple[Any, ...]


def attend(parts: Composition, spec: PipelineSpec, qkv: Callable[[], Any], *, tapped: bool = False) -> Attention:
    """Adds attention to a pipeline; ``qkv`` adds the unit whose stream has a tile's keys, values and queries;
    ``tapped``: somebody else takes keys and values too."""
    m = parts.m
    split = parts.add("split", Split(spec))
    scores = parts.add("scores", Scores(spec.scores_unit))
    softmax = parts.add("softmax", Softmax(spec.softmax))
    sums = parts.add("sums", WeightedSums(spec.sums_unit))
    context = parts.add("requantise_context", Requantise(spec.requantise("context")))
    factors = parts.add("factors_context", StreamBuffer(softmax.factors.payload.shape(), spec.heads_in_sums))
    connect(m, qkv(), split.input)
    sources, taps = [*split.outputs], []
    for index, name in enumerate(("keys", "values") if tapped else ()):
        fork = parts.add(f"fork_{name}", Fork(sources[index].payload.shape(), 2))
        connect(m, sources[index], fork.input)
        sources[index] = fork.outputs[0]
        taps.append(fork.outputs[1])
    for source, sink in zip(sources, (scores.stored, sums.stored, scores.activations), strict=True):
        connect(m, source, sink)
    connect(m, scores.sums, softmax.scores)
    parts.channels("scores", softmax.scales)
    connect(m, softmax.numerators, sums.activations)
    connect(m, softmax.factors, factors.input)
    connect(m, sums.sums, context.sums)
    connect(m, factors.output, context.factors)
    parts.channels("context", context.channels)
    return Attention(scores, softmax, sums, context.values, tuple(taps))


class Split(wiring.Component):
    """Cuts the output of the QKV unit, keys, values, queries of a tile one after the other, in three streams."""

    def __init__(self, spec: PipelineSpec):
        self.spec = spec
        byte_tile = stream.Signature(tile(spec.rows, spec.lanes, signed(8)))
        super().__init__({"input": In(byte_tile), "outputs": Out(byte_tile).array(3)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        part, beat = Signal(range(3)), Signal(range(self.spec.tile_beats))
        with m.If(self.input.valid & self.input.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat == self.spec.tile_beats - 1):
                m.d.sync += [beat.eq(0), part.eq(Mux(part == 2, 0, part + 1))]
        ready = 0
        for i, output in enumerate(self.outputs):
            m.submodules[f"buffer_{i}"] = buffer = StreamBuffer(self.input.payload.shape())
            m.d.comb += [
                buffer.input.payload.eq(self.input.payload),
                buffer.input.valid.eq(self.input.valid & (part == i)),
            ]
            ready |= buffer.input.ready & (part == i)
            connect(m, buffer.output, output)
        m.d.comb += self.input.ready.eq(ready)
        return m
