"""Small pipelines whose FIFOs have other depths than the computed ones, and the cycles of their longest sequence:
`bench.depths` compares them."""

from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

from hdl.kernels.residual import ResidualSpec
from hdl.kernels.scores import ScoresSpec
from hdl.memory import ReplaySpec
from hdl.model.architecture import Add
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator
from sim.decoder import DecoderSimulation

from ..model.networks import layer
from .decoder.designs import SMALL
from .decoder.simulations import model_of, sources, words
from .designs import random_model, texts
from .sources import emitted

Spec = TypeVar("Spec")

ENCODER = PipelineSpec(
    layer=layer("bert", 16, 2, 32), max_length=16, max_layers=1, rows=2, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(2, 1), projection=(2, 1), ffn1=(2, 1), ffn2=(2, 1), scores=(2, 1), sums=(2, 1)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
"""As little as there can be, for eight tiles."""

DECODER = replace(SMALL, max_length=64, max_layers=2)
"""More tiles than are computed to lie between a fork and its addition."""


class FewerQueries(ScoresSpec):
    """A scores unit whose queue of queries lacks four tiles."""

    @property
    def replay(self) -> ReplaySpec:
        return replace(super().replay, depth=super().replay.depth - 4 * self.heads * self.words)


class ShallowQueries(PipelineSpec):
    """An encoder with such a unit."""

    @property
    def scores_unit(self) -> ScoresSpec:
        return like(super().scores_unit, FewerQueries)


class ShallowAttention(PipelineSpec):
    """An encoder whose first residual addition lacks room for four tiles."""

    def tiles_in_branch(self, add: Add) -> int:
        return self.max_tiles - 4 if add.name == "residual1" else super().tiles_in_branch(add)


class ShallowFeedForward(PipelineSpec):
    """An encoder whose second residual addition holds a few beats, where a tile must wait for its whole row."""

    def residual(self, name: str) -> ResidualSpec:
        found = super().residual(name)
        return replace(found, depth=2) if name == "residual2" else found


class DeepDecoder(DecoderSpec):
    """A decoder with more room at both residual additions."""

    def tiles_in_branch(self, add: Add) -> int:
        return super().tiles_in_branch(add) + 4


class ShallowAttentionDecoder(DecoderSpec):
    """A decoder whose first residual addition has room for one tile."""

    def tiles_in_branch(self, add: Add) -> int:
        return 1 if add.name == "residual1" else super().tiles_in_branch(add)


class ShallowFeedForwardDecoder(DecoderSpec):
    """A decoder whose second residual addition has room for one tile."""

    def tiles_in_branch(self, add: Add) -> int:
        return 1 if add.name == "residual2" else super().tiles_in_branch(add)


class ShallowLoopDecoder(DecoderSpec):
    """A decoder whose loop has room for one tile."""

    @property
    def loop(self) -> ReplaySpec:
        return replace(super().loop, depth=self.tile_beats, max_length=self.tile_beats)


def like(spec: Any, kind: type[Spec]) -> Spec:
    """A spec of another kind with the same fields."""
    return kind(**{field.name: getattr(spec, field.name) for field in fields(spec)})


@cache
def encoder_cycles(kind: type[PipelineSpec], design: PipelineSpec = ENCODER) -> int:
    """Cycles of a text of the greatest length through one layer of a design as ``kind`` makes it.

    Raises:
        Deadlock: where the pipeline waits for itself.
    """
    spec = like(design, kind)
    model = random_model(design, 1)
    (text,) = texts(design, [design.max_length], seed=3)
    image, verilog = build_image(model, spec), emitted(Pipeline, spec, "pipeline")
    with Accelerator.verilated(spec, verilog, image, threads=1, optimise="-O0") as accelerator:
        return accelerator.run(model.embed(text)).cycles


@cache
def decoder_cycles(kind: type[DecoderSpec]) -> int:
    """Cycles of a prompt of the greatest length in `DECODER` as ``kind`` makes it.

    Raises:
        Deadlock: where the decoder waits for itself.
    """
    spec = like(DECODER, kind)
    image = build_image(model_of(DECODER), spec)
    with DecoderSimulation.verilated(spec, sources(spec), image, threads=1, optimise="-O0") as simulation:
        return simulation.run(words(DECODER, DECODER.max_length, seed=3), restart=True).cycles
