"""A vision transformer in hardware: pre-norm layers without a causal mask, whose patches the host embeds."""

import numpy as np

from hdl.model import floating, reference
from hdl.model.network import Network
from hdl.model.quantise import quantise
from hdl.model.weights import random_weights
from hdl.perf.spec import ArrayShape, PipelineSpec
from hdl.top.image import build_image
from hdl.top.pipeline import Pipeline
from sim.accelerator import Accelerator

from .sources import emitted

NETWORK = Network.of(
    "vision",
    "deit",
    {
        "layers": 2, "hidden": 32, "heads": 2, "intermediate": 64, "channels": 3, "image_size": 12, "patch_size": 4,
        "norm_eps": 1e-12, "activation": "gelu",
    },
)  # fmt: skip

SPEC = PipelineSpec(
    layer=NETWORK.layer, max_length=NETWORK.max_positions, max_layers=2, rows=4, lanes=2, ffn_lanes=2, score_lanes=2,
    qkv=ArrayShape(4, 2), projection=ArrayShape(4, 1), ffn1=ArrayShape(4, 2), ffn2=ArrayShape(4, 2),
    scores=ArrayShape(4, 1), sums=ArrayShape(4, 1), channels=(1, 1, 1, 1),
)  # fmt: skip
"""9 patches and 2 tokens."""


def images(count: int) -> list[np.ndarray]:
    """Random images [channels, height, width]."""
    channels, size, _ = NETWORK.image
    return [*np.random.default_rng(1).standard_normal((count, channels, size, size)).astype(np.float32)]


def test_the_verilog_computes_the_reference_s_integers() -> None:
    weights = random_weights(NETWORK, 1)
    model = quantise(weights, images(4))
    sources = emitted(Pipeline, SPEC, "pipeline")
    image = build_image(model.layers, SPEC)
    with Accelerator.verilated(SPEC, sources, image, threads=1, optimise="-O0") as accelerator:
        for pixels in images(2):
            tokens = model.embed(pixels)
            assert len(tokens) == 11
            run = accelerator.run(tokens)
            expected = reference.run(model, tokens)
            np.testing.assert_array_equal(run.layers, expected)
            assert run.cycles == SPEC.run_cycles(len(tokens), 2)
            found = floating.close(model.real(run.layers[-1]), model.closing, NETWORK)
            real = floating.encode(pixels, weights)
            assert (found * real).sum() / (np.linalg.norm(found) * np.linalg.norm(real)) > 0.998
