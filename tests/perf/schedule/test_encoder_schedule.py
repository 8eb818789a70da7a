"""Estimated cycles: those of the simulated Verilog, for small designs; more work never takes fewer."""

from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from hdl.model.load import load_model
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule.encoder_schedule import EncoderSchedule, counted_cycles, counted_layer_cycles
from hdl.perf.schedule.servers import BUFFER
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

from ...top.designs import ODD, TINY, random_model, texts
from ...top.sources import EFFORT, emitted
from ...top.test_vision import SPEC as SLOW_ATTENTION

TOLERANCE = 0.01
"""The project promises 5 %; the estimates are exact here, and a bound of 5 % would hide a stage that is forgotten."""

DESIGNS = {"two rows": ODD, "four rows": TINY}
"""`tests.top.test_vision` does the same with eight rows and slow attention."""


@pytest.mark.parametrize("spec", DESIGNS.values(), ids=DESIGNS)
def test_estimates_are_what_is_simulated(spec: PipelineSpec) -> None:
    longest, layers = spec.max_length, spec.max_layers
    runs = [(1, layers), (spec.rows + 1, 1), (longest, 2), (longest // 2, layers), (longest, 1)]
    model = random_model(spec, layers)
    sources = emitted(Pipeline, spec, "pipeline")
    image = build_image(model, spec)
    with Accelerator.verilated(spec, sources, image, threads=1, optimise=EFFORT) as accelerator:
        for tokens, count in runs:
            (text,) = texts(spec, [tokens], seed=3)
            simulated = accelerator.run(model.embed(text), layers=count).cycles
            assert counted_cycles(spec, tokens, count) == pytest.approx(simulated, rel=TOLERANCE), (tokens, count)


@cache
def planned(name: str, **options: Any) -> PipelineSpec:
    """A planned pipeline."""
    return plan(load_model(name), load_device("u280"), **options)


@pytest.mark.parametrize(("name", "tile"), [("tiny-bert", 2), ("minilm-l6", 4), ("bert-base", 8)])
def test_more_tokens_or_layers_never_take_fewer_cycles(name: str, tile: int) -> None:
    spec = planned(name, tile=tile)
    lengths = [1, *range(7, spec.max_length, spec.max_length // 9), spec.max_length]
    found = {run: counted_cycles(spec, *run) for run in product(lengths, range(1, spec.max_layers + 1))}
    for (tokens, layers), cycles in found.items():
        assert cycles <= found.get((tokens, layers + 1), cycles)
    for layers in range(1, spec.max_layers + 1):
        assert all(found[a, layers] <= found[b, layers] for a, b in pairwise(lengths))


def test_a_layer_takes_no_less_than_its_slowest_unit() -> None:
    for spec, tokens in product((*DESIGNS.values(), SLOW_ATTENTION), (1, 9, 21)):
        tiles = -(-tokens // spec.rows)
        assert counted_layer_cycles(spec, tokens) >= tiles * max(spec.row_cycles, *spec.tile_cycles(tokens).values())


@pytest.mark.parametrize("tokens", [1, 30, 128])
def test_layers_that_are_counted_are_as_if_followed(tokens: int) -> None:
    spec = planned("tiny-bert")
    run = EncoderSchedule(spec, tokens)
    ends = np.arange(1, run.tiles + 1) * spec.tile_beats - 1
    for layers in range(1, 9):
        ends = run.layer(ends) + BUFFER
        assert counted_cycles(spec, tokens, layers) == ends[-1] + 1
