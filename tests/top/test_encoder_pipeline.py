"""The whole pipeline, as emitted: every value that leaves a layer equals the integer reference."""

import numpy as np

from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

from .designs import ODD, TINY, expected_layers, random_model, texts
from .sources import EFFORT, emitted


def check(
    spec: PipelineSpec, lengths: list[int], layers: list[int], *, gaps: int | None = None, static: bool = False
) -> None:
    """Runs texts one after the other, without reset, and compares all layers of each."""
    model = random_model(spec, max(layers), static=static)
    image = build_image(model, spec)
    with Accelerator.verilated(
        spec, emitted(Pipeline, spec, "pipeline"), image, threads=1, optimise=EFFORT
    ) as accelerator:
        for text, count in zip(texts(spec, lengths, seed=7), layers, strict=True):
            tokens = model.embed(text)
            run = accelerator.run(tokens, layers=count, gaps=gaps)
            np.testing.assert_array_equal(run.layers, expected_layers(model, tokens, count))


def test_lengths_and_layers_change_from_run_to_run() -> None:
    check(TINY, [8, 1, 32, 7, 31, 3, 16], [2, 3, 1, 3, 2, 1, 3])


def test_gaps_on_every_stream_change_nothing() -> None:
    check(TINY, [5, 32, 9], [2, 2, 3], gaps=11)


def test_static_ranges() -> None:
    check(TINY, [12, 4], [2, 2], static=True)


def test_odd_shapes() -> None:
    check(ODD, [7, 1, 21, 2, 20], [2, 2, 2, 1, 2])


def test_odd_shapes_with_gaps() -> None:
    check(ODD, [7, 21, 12], [2, 2, 1], gaps=5)
