"""Occupancy over time: when each unit of a design is busy, and with which layer.

An encoder's comes from its exact schedule (`hdl.perf.cycles`), and a decoder's from that of what is built for it
(`hdl.perf.decodercycles`). Where nothing is, or what is estimated is something else, stages are drawn, as their
formulas have them.
"""

from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...perf.cycles import Run
from ...perf.design import SpatialDesign
from ...perf.device import Device
from ...perf.estimate import Estimate
from ...perf.spec import PipelineSpec
from .built import built_decoder, built_timelines
from .stages import stage_timelines
from .timeline import Span, Timeline, timeline

__all__ = ["encoder_spans", "timelines"]

DRAWN = ("qkv", "scores", "softmax", "sums", "projection", "norm1", "ffn1", "activation", "ffn2", "norm2")
"""An encoder's units in the order of the data, but for what only hands tiles on: its share is in the table."""


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


def timelines(found: Estimate, device: Device, tile: int | None = None) -> tuple[Timeline, ...]:
    """The pictures of an estimate: all of an encoder's run and a layer of it; a decoder's prompt and its token, of the
    decoder that is built for the ``device`` with tiles as they were asked for, and of the estimate's own design where
    that is not of its kind."""
    if not found.network.causal:
        return _encoder(found.design.spec, found.prompt, found.network.layers)
    try:
        spec = built_decoder(found, device, tile)
    except InputError as error:
        first, *others = stage_timelines(found)
        return replace(first, note=f"No schedule, for {error}. {first.note}"), *others
    shown = built_timelines(found, spec, device)
    return shown if isinstance(found.design, SpatialDesign) else (*shown, *stage_timelines(found))


def _encoder(spec: PipelineSpec, tokens: int, layers: int) -> tuple[Timeline, ...]:
    cycles, spans = encoder_spans(spec, tokens, layers)
    rows = {name: spans[name] for name in DRAWN}
    middle = layers // 2
    own = [span for every in rows.values() for span in every if span.turn == middle]
    start, end = min(span.start for span in own), max(span.end for span in own)

    exact = "From the exact schedule, which equals the simulated Verilog to the cycle."
    return (
        timeline("The whole run", f"{exact} Layers alternate in colour.", 0, cycles, spans, DRAWN, exact=True),
        timeline(
            f"Layer {middle + 1} of {layers}",
            f"{exact} The other colour is the layer before or behind; what a unit does without a gap is one mark.",
            start, end, spans, DRAWN, exact=True,
        ),
    )  # fmt: skip
