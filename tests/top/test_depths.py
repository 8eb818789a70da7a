"""The FIFOs of the loop: the computed depths work (`test_pipeline`), smaller ones deadlock."""

from dataclasses import asdict, replace

import pytest

from hdl.kernels.residual import ResidualSpec
from hdl.kernels.scores import ScoresSpec
from hdl.memory import ReplaySpec
from hdl.perf.spec import ArrayShape, PipelineSpec
from hdl.top.image import build_image
from hdl.top.pipeline import Pipeline
from sim.accelerator import Accelerator
from sim.streams import Deadlock

from .designs import TINY, random_model, texts
from .sources import emitted

SHAPES = ("qkv", "projection", "ffn1", "ffn2", "scores", "sums")


class FewerQueries(ScoresSpec):
    """A scores unit whose queue of queries lacks four tiles."""

    @property
    def replay(self) -> ReplaySpec:
        return replace(super().replay, depth=super().replay.depth - 4 * self.heads * self.words)


class ShallowQueries(PipelineSpec):
    """A pipeline with such a unit."""

    @property
    def scores_unit(self) -> ScoresSpec:
        return FewerQueries(**asdict(super().scores_unit))


class ShallowAttention(PipelineSpec):
    """A pipeline whose first residual lacks four tiles."""

    @property
    def residual1(self) -> ResidualSpec:
        return replace(super().residual1, depth=super().residual1.depth - 4 * self.tile_beats)


class ShallowFeedForward(PipelineSpec):
    """A pipeline whose second residual holds a few beats, where a tile must wait for its whole row."""

    @property
    def residual2(self) -> ResidualSpec:
        return replace(super().residual2, depth=2)


@pytest.mark.parametrize("shallow", [ShallowQueries, ShallowAttention, ShallowFeedForward])
def test_a_pipeline_with_a_smaller_fifo_deadlocks(shallow: type[PipelineSpec]) -> None:
    fields = asdict(TINY) | {name: ArrayShape(*getattr(TINY, name)) for name in SHAPES}
    spec = shallow(**fields)
    model = random_model(TINY, 1)
    image = build_image(model.layers, spec)
    sources = emitted(Pipeline, spec, "pipeline")
    (text,) = texts(TINY, [TINY.max_length], seed=3)
    with Accelerator.verilated(spec, sources, image, threads=1, optimise="-O0") as accelerator:
        with pytest.raises(Deadlock):
            accelerator.run(model.embed(text))
