"""Small decoders in simulators, with random weights."""

from functools import cache

import numpy as np

from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.weights import random_weights
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import MemoryTiming
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.image import build_image
from sim.decoder import DecoderSimulation

from ...model.networks import gpt2
from ..sources import EFFORT, emitted


@cache
def model_of(spec: DecoderSpec) -> Quantised:
    """A quantised model of a decoder's shape with random weights."""
    shape = gpt2(
        name="test", layers=spec.max_layers, hidden=spec.hidden, heads=spec.heads, intermediate=spec.intermediate,
        max_positions=spec.positions, vocabulary=spec.vocabulary, norm_eps=1e-5, activation="gelu_new",
    )  # fmt: skip
    texts = [words(spec, spec.positions, seed) for seed in range(3)]
    return quantise(random_weights(shape, 1), texts, weight_bits=spec.weight_bits)


def words(spec: DecoderSpec, count: int, seed: int) -> list[int]:
    """Random token ids."""
    return np.random.default_rng(seed).integers(0, spec.vocabulary, count).tolist()


def sources(spec: DecoderSpec) -> dict[str, str]:
    """The emitted Verilog."""
    return emitted(DecoderPipeline, spec, "decoder")


def started(
    spec: DecoderSpec, timing: MemoryTiming | None = None, cache_timing: MemoryTiming | None = None
) -> DecoderSimulation:
    """A simulation with its own instance; the build is shared."""
    image = build_image(model_of(spec), spec)
    return DecoderSimulation.verilated(
        spec, sources(spec), image, timing=timing, cache_timing=cache_timing, threads=1, optimise=EFFORT
    )
