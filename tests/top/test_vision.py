"""A vision transformer from its folder to the Verilog: pre-norm layers without a causal mask, whose patches the host
embeds."""

import numpy as np

from hdl.model import floating, reference
from hdl.model.checkpoint import load_checkpoint
from hdl.model.load import load_model
from hdl.model.quantise import quantise
from hdl.perf.encoder_schedule import counted_cycles
from hdl.perf.spec import ArrayShape, PipelineSpec
from hdl.top.image import build_image
from hdl.top.pipeline import Pipeline
from sim.accelerator import Accelerator

from ..model.test_vision import FIXTURES, example
from .sources import EFFORT, emitted

NETWORK = load_model(str(FIXTURES / "deit"))
"""9 patches and 2 tokens."""

SPEC = PipelineSpec(
    layer=NETWORK.layer, max_length=NETWORK.max_positions, max_layers=2, rows=4, lanes=2, ffn_lanes=2, score_lanes=2,
    qkv=ArrayShape(4, 2), projection=ArrayShape(4, 1), ffn1=ArrayShape(4, 2), ffn2=ArrayShape(4, 2),
    scores=ArrayShape(4, 1), sums=ArrayShape(4, 1), channels=(1, 1, 1, 1),
)  # fmt: skip


def test_the_verilog_computes_the_reference_s_integers() -> None:
    weights = load_checkpoint(FIXTURES / "deit" / "model.safetensors", NETWORK).weights
    pixels, expected = example("deit")
    others = np.random.default_rng(1).standard_normal((8, *pixels.shape)).astype(np.float32)
    model = quantise(weights, [*others])
    sources = emitted(Pipeline, SPEC, "pipeline")
    memory = build_image(model.layers, SPEC)
    with Accelerator.verilated(SPEC, sources, memory, threads=1, optimise=EFFORT) as accelerator:
        for image in (pixels, others[0]):
            tokens = model.embed(image)
            run = accelerator.run(tokens)
            np.testing.assert_array_equal(run.layers, reference.run(model, tokens))
            assert run.cycles == counted_cycles(SPEC, len(tokens), 2)
            if image is pixels:  # near what transformers computes
                found = floating.close(model.real(run.layers[-1]), model.closing, NETWORK)
                assert (found * expected).sum() / (np.linalg.norm(found) * np.linalg.norm(expected)) > 0.998
