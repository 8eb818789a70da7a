"""Occupancy over time: when each unit of a design is busy, and with which layer.

For an encoder, and for a decoder that `emit` makes, it is the counted schedule (`hdl.perf.schedule.encoder_schedule`,
`hdl.perf.schedule.decoder_schedule`). For designs that are estimated only, the stages are drawn from their formulas.
"""

from dataclasses import replace

import numpy as np

from ...perf.estimate import Estimate
from ...perf.geometry.decoder_spec import DecoderSpec
from ...perf.geometry.pipeline_spec import PipelineSpec
from ...perf.schedule.encoder_schedule import EncoderSchedule
from .decoder_runs import built_timelines
from .stages import stage_timelines
from .timeline import Span, Timeline, timeline

__all__ = ["encoder_spans", "timelines"]

DRAWN = ("qkv", "scores", "softmax", "sums", "projection", "norm1", "ffn1", "activation", "ffn2", "norm2")
"""An encoder's units in the order of the data, without those that only pass tiles on; the table has their shares."""


class Watched(EncoderSchedule):
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
    """The cycles of a run through all layers, and when each unit is busy. The last beat of a piece is in the cycle
    ``end``; the piece begins as many cycles earlier as the unit needs for it."""
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
    """The pictures of an estimate. For an encoder: the whole run, and one layer of it. For a decoder: the prompt and a
    token."""
    if not found.network.causal:
        return _encoder(found.design.spec, found.prompt, found.network.layers)
    if isinstance(found.design.spec, DecoderSpec):
        return built_timelines(found)
    first, *others = stage_timelines(found)
    why = f"There is no schedule of this work, since emit makes no design for it ({found.refusal})."
    return replace(first, note=f"{why} {first.note}"), *others


def _encoder(spec: PipelineSpec, tokens: int, layers: int) -> tuple[Timeline, ...]:
    cycles, spans = encoder_spans(spec, tokens, layers)
    rows = {name: spans[name] for name in DRAWN}
    middle = layers // 2
    own = [span for every in rows.values() for span in every if span.turn == middle]
    start, end = min(span.start for span in own), max(span.end for span in own)

    exact = "This is the exact schedule of this page's design: its cycles equal those of the simulated Verilog."
    return (
        timeline("The whole run", f"{exact} Layers alternate in colour.", 0, cycles, spans, DRAWN, exact=True),
        timeline(
            f"Layer {middle + 1} of {layers}",
            f"{exact} The other colour is the layer before or after. Work without a gap is one mark.",
            start, end, spans, DRAWN, exact=True,
        ),
    )  # fmt: skip
