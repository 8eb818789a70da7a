"""Occupancy over time: when each unit of a design is busy, and with which layer.

An encoder's comes from its exact schedule (`hdl.perf.cycles`). A decoder's is drawn from the formulas of its stages: a
model of them, which the notes say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from ...kernels.shared import weight_bytes
from ...perf.cycles import Run
from ...perf.decoder import DecoderSpec
from ...perf.design import Phase, SpatialDesign
from ...perf.estimate import Estimate
from ...perf.spec import ARRAYS, PipelineSpec

__all__ = ["MEMORY", "Span", "Timeline", "encoder_spans", "timelines"]

MEMORY = "memory"
"""The row of what comes from off-chip memory."""

DRAWN = ("qkv", "scores", "softmax", "sums", "projection", "norm1", "ffn1", "activation", "ffn2", "norm2")
"""An encoder's units in the order of the data, but for what only hands tiles on: its share is in the table."""

WAY = ("qkv", "attention", "scores", "softmax", "sums", "projection", "ffn1", "ffn2", "rows", "head")
"""The stages of a decoder in the order of the data."""


@dataclass(frozen=True)
class Span:
    """Busy from ``start`` to ``end``, in cycles, with a layer, counted from 0."""

    start: float
    end: float
    layer: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A picture of time from cycle ``start`` to ``end``: the spans of each unit that is drawn, and for the table the
    cycles that each unit is ``busy`` in that time; ``exact``, or a model of stages."""

    title: str
    note: str
    start: float
    end: float
    rows: Mapping[str, tuple[Span, ...]]
    busy: Mapping[str, float]
    exact: bool


class Watched(Run):
    """A run that keeps when its units are busy: for each the ends of its pieces by layer, and the cycles of one."""

    def __init__(self, spec: PipelineSpec, tokens: int):
        super().__init__(spec, tokens)
        self.pieces: dict[str, list[np.ndarray]] = {}
        self.cycles: dict[str, int] = {}

    def serve(self, name: str, cycles: int | np.ndarray, earliest: np.ndarray) -> np.ndarray:
        """When pieces end in the unit ``name``."""
        ends = super().serve(name, cycles, earliest)
        self.pieces.setdefault(name, []).append(ends)
        self.cycles[name] = int(cycles)  # an encoder's pieces are all alike
        return ends


def encoder_spans(spec: PipelineSpec, tokens: int, layers: int) -> tuple[int, dict[str, tuple[Span, ...]]]:
    """The cycles of a run, all layers of it followed, and for each unit when it is busy. A piece that ends at ``end``
    (the cycle of its last beat) begins as many cycles before as the unit takes for it."""
    run = Watched(spec, tokens)
    *_, last = run.follow(layers)
    spans = {
        name: tuple(
            Span(float(end + 1 - run.cycles[name]), float(end + 1), layer)
            for layer, ends in enumerate(every)
            for end in ends.reshape(-1)
        )
        for name, every in run.pieces.items()
    }
    return int(last[-1]) + 1, spans


def timelines(found: Estimate) -> tuple[Timeline, ...]:
    """The pictures of an estimate: all of an encoder's run and a layer of it; a decoder's prompt, and its token."""
    design = found.design
    if not found.network.causal:
        return _encoder(design.spec, found.prompt, found.network.layers)
    if isinstance(design, SpatialDesign) and isinstance(design.spec, DecoderSpec):
        prompt = _ring(design.spec, found)
    else:
        prompt = _sequence(found, found.prefill, "The prompt")
    token = [_sequence(found, found.decode, "A token of each sequence")] if found.decode else []
    return (prompt, *token)


def _encoder(spec: PipelineSpec, tokens: int, layers: int) -> tuple[Timeline, ...]:
    cycles, spans = encoder_spans(spec, tokens, layers)
    rows = {name: spans[name] for name in DRAWN}
    middle = layers // 2
    own = [span for every in rows.values() for span in every if span.layer == middle]
    start, end = min(span.start for span in own), max(span.end for span in own)

    def timeline(title: str, note: str, start: float, end: float) -> Timeline:
        seen = {name: _within(every, start, end) for name, every in spans.items()}
        busy = {name: sum(span.end - span.start for span in every) for name, every in seen.items()}
        drawn = {name: seen[name] for name in DRAWN}
        return Timeline(title=title, note=note, start=start, end=end, rows=drawn, busy=busy, exact=True)

    exact = "From the exact schedule, which equals the simulated Verilog to the cycle."
    return (
        timeline("The whole run", f"{exact} Layers alternate in colour.", 0, cycles),
        timeline(
            f"Layer {middle + 1} of {layers}",
            f"{exact} The other colour is the layer before or behind; what a unit does without a gap is one mark.",
            start,
            end,
        ),
    )


def _within(spans: Iterable[Span], start: float, end: float) -> tuple[Span, ...]:
    """The parts of spans that lie in a window."""
    cut = (Span(max(one.start, start), min(one.end, end), one.layer) for one in spans)
    return tuple(one for one in cut if one.end > one.start)


def _ring(spec: DecoderSpec, found: Estimate) -> Timeline:
    """A prompt whose tiles follow each other around the loop: as `ring_cycles` counts, each unit from when the first
    tile reaches it, one tile a pace. The row-wise units' cycles lie evenly between the arrays."""
    tokens, layers = found.prompt, found.network.layers
    tiles, cycles = ceil(tokens / spec.rows), spec.tile_cycles(tokens)
    pace = max(spec.row_cycles, *cycles.values())
    turn = max(tiles * pace, spec.tile_latency(tokens))
    between = spec.stream_cycles / len(ARRAYS)
    spans: dict[str, tuple[Span, ...]] = {}
    reached = 0.0
    for name in [name for name in WAY if name in cycles]:
        starts = [(layer, layer * turn + reached + tile * pace) for layer in range(layers) for tile in range(tiles)]
        spans[name] = tuple(Span(start, start + cycles[name], layer) for layer, start in starts)
        if name != "softmax":  # which streams beside the scores
            reached += cycles[name] + between
    end = found.prefill.cycles
    spans["head"] = (Span(end - spec.head_cycles(), end, layers),)
    return Timeline(
        title="The prompt",
        note="A model of stages, not a schedule: every tile takes a unit its average, at the pace of the slowest unit. "
        "Layers alternate in colour.",
        start=0, end=end, rows=spans, busy={name: sum(s.end - s.start for s in every) for name, every in spans.items()},
        exact=False,
    )  # fmt: skip


def _sequence(found: Estimate, phase: Phase, title: str) -> Timeline:
    """A phase whose stages follow one another, layer by layer, the head last; beside them the
    memory, which works ahead. What is faster waits, here evenly, for the other."""
    layers, design = found.network.layers, found.design
    memory = found.device.memory
    bytes_a_cycle = memory.sustained * design.bandwidth(memory) * 1e9 / (found.clock_mhz * 1e6)
    end, layer = phase.cycles_at(bytes_a_cycle), sum(phase.stages.values())
    stretched = end / phase.cycles
    rows: dict[str, list[Span]] = {}
    reached = 0.0
    for name in [name for name in WAY if name in phase.stages]:
        starts = [(each, (each * layer + reached) * stretched) for each in range(layers)]
        rows[name] = [Span(start, start + phase.stages[name], each) for each, start in starts]
        reached += phase.stages[name]
    rows["head"] = [
        Span(layers * layer * stretched, layers * layer * stretched + phase.cycles - layers * layer, layers)
    ]
    head = weight_bytes(found.network.head_weights, design.weight_bits) / bytes_a_cycle
    read = (phase.bytes / bytes_a_cycle - head) / layers
    slower = end / (layers * read + head)
    rows[MEMORY] = [Span(each * read * slower, (each * slower + 1) * read, each) for each in range(layers)]
    rows[MEMORY].append(Span(layers * read * slower, layers * read * slower + head, layers))
    decides = "memory decides, and the units wait for it" if stretched > 1 else "the units decide, and memory waits"
    return Timeline(
        title=title,
        note="A model of stages, not a schedule: they follow one another, what works row by row is drawn as one at the "
        f"end of a layer, and waits are spread evenly. Here {decides}. Layers alternate in colour.",
        start=0, end=end, rows={name: tuple(every) for name, every in rows.items()},
        busy={name: sum(one.end - one.start for one in every) for name, every in rows.items()}, exact=False,
    )  # fmt: skip
