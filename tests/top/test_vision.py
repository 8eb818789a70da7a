"""A vision transformer from its folder to the Verilog: pre-norm layers without a causal mask, whose patches the host
embeds."""

from functools import cache

import numpy as np

from hdl.model import floating, reference
from hdl.model.checkpoint import load_checkpoint
from hdl.model.load import load_model
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule.encoder_schedule import counted_cycles
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

from ..model.test_vision import FIXTURES, example
from .sources import emitted

NETWORK = load_model(str(FIXTURES / "deit"))
"""9 patches and 2 tokens."""

SPEC = PipelineSpec(
    layer=NETWORK.layer, max_length=32, max_layers=2, rows=8, lanes=1, ffn_lanes=1, score_lanes=1,
    arrays=Arrays(qkv=(4, 2), projection=(4, 1), ffn1=(4, 2), ffn2=(4, 2), scores=(8, 1), sums=(1, 1)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
"""Tiles of eight tokens, in which attention sets the pace of longer sequences."""


@cache
def images() -> tuple[np.ndarray, ...]:
    """Random images."""
    pixels, _ = example("deit")
    return tuple(np.random.default_rng(1).standard_normal((8, *pixels.shape)).astype(np.float32))


@cache
def model() -> Quantised:
    """The network, calibrated on them."""
    weights = load_checkpoint(FIXTURES / "deit" / "model.safetensors", NETWORK).weights
    return quantise(weights, images())


def started() -> Accelerator:
    """A simulation with its own instance; the build is shared. Its runs are too short for a compiler's effort."""
    sources, memory = emitted(Pipeline, SPEC, "pipeline"), build_image(model(), SPEC)
    return Accelerator.verilated(SPEC, sources, memory, threads=1, optimise="-O0")


def test_the_verilog_computes_the_reference_s_integers() -> None:
    pixels, expected = example("deit")
    with started() as accelerator:
        for image in (pixels, images()[0]):
            tokens = model().embed(image)
            run = accelerator.run(tokens)
            np.testing.assert_array_equal(run.layers, reference.run(model(), tokens))
            assert run.cycles == counted_cycles(SPEC, len(tokens), 2)
            if image is pixels:  # near what transformers computes
                found = floating.close(model().real(run.layers[-1]), model().closing, NETWORK)
                assert (found * expected).sum() / (np.linalg.norm(found) * np.linalg.norm(expected)) > 0.998


def test_cycles_where_attention_sets_the_pace() -> None:
    longest = SPEC.max_length
    taken = SPEC.tile_cycles(longest)
    assert taken["sums"] > max(SPEC.row_cycles, *(taken[name] for name in SPEC.products))
    values = np.resize(model().embed(images()[0]), (longest, NETWORK.hidden))
    with started() as accelerator:
        for tokens, layers in [(1, 2), (SPEC.rows + 1, 1), (longest, 2), (longest // 2, 2), (longest, 1)]:
            simulated = accelerator.run(values[:tokens], layers=layers).cycles
            assert counted_cycles(SPEC, tokens, layers) == simulated, (tokens, layers)
