"""Small pipelines and models for the tests."""

from functools import cache

import numpy as np

from hdl.model import reference
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.weights import random_weights
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.pipeline_spec import PipelineSpec

from ..model.networks import bert, layer

TINY = PipelineSpec(
    layer=layer("bert", 32, 2, 64), max_length=32, max_layers=4, rows=4, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(4, 2), projection=(4, 1), ffn1=(4, 2), ffn2=(4, 2), scores=(4, 1), sums=(4, 1)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
"""A pipeline in which every unit takes several passes, words and tiles."""

ODD = PipelineSpec(
    layer=layer("bert", 96, 3, 200), max_length=21, max_layers=2, rows=2, lanes=1, ffn_lanes=2, score_lanes=3,
    arrays=Arrays(qkv=(6, 3), projection=(3, 3), ffn1=(10, 2), ffn2=(8, 3), scores=(6, 1), sums=(4, 3)),
    channels=(2, 1, 2, 1),
)  # fmt: skip
"""Sizes that are no powers of two, and words that features and tokens do not fill."""

SMALL = PipelineSpec(
    layer=layer("bert", 16, 2, 32), max_length=8, max_layers=2, rows=2, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(2, 1), projection=(2, 1), ffn1=(2, 1), ffn2=(2, 1), scores=(2, 1), sums=(2, 1)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
"""As little as there can be, for kernels in a simulation."""


@cache
def random_model(pipeline: PipelineSpec, layers: int, *, seed: int = 1, static: bool = False) -> Quantised:
    """A quantised model of a pipeline's shape with random weights."""
    spec = bert(
        name="test", layers=layers, hidden=pipeline.hidden, heads=pipeline.heads, intermediate=pipeline.intermediate,
        max_positions=pipeline.max_length, vocabulary=100, token_types=2, norm_eps=1e-12, activation="gelu",
    )  # fmt: skip
    return quantise(random_weights(spec, seed), texts(pipeline, [pipeline.max_length] * 4, seed), static=static)


def texts(pipeline: PipelineSpec, lengths: list[int], seed: int) -> list[list[int]]:
    """Token ids of texts of these lengths."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 100, length).tolist() for length in lengths]


def expected_layers(model: Quantised, tokens: np.ndarray, layers: int) -> np.ndarray:
    """The integer reference of the first ``layers`` layers, [layers, tokens, hidden]."""
    return np.stack(reference.run(model, tokens)[:layers])
