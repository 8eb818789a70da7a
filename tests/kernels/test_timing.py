"""Units and deep memories keep the limits of timing at small sizes. ``bench.timing`` maps whole designs."""

from collections.abc import Callable
from typing import Any

import pytest
from amaranth.hdl import unsigned
from amaranth.lib import wiring

from hdl.kernels.activation import Activation, ActivationSpec
from hdl.kernels.embedding import Embedding, EmbeddingSpec
from hdl.kernels.layernorm import LayerNorm, LayerNormSpec
from hdl.kernels.requantise import Requantise, RequantiseSpec
from hdl.kernels.residual import ResidualAdd, ResidualSpec
from hdl.kernels.rowquantise import RowQuantise, RowQuantiseSpec
from hdl.kernels.softmax import Softmax, SoftmaxSpec
from hdl.kernels.topk import TopK, TopKSpec
from hdl.ram import BLOCK_DEPTH, Ram
from hdl.stream import StreamBuffer
from hdl.top.emitter import Emitter
from sim.mapping import map_modules
from sim.timing import analyse
from sim.timing_gate import failures

UNITS: dict[str, tuple[Callable[[Any], wiring.Component], Any]] = {
    "requantise": (
        Requantise,
        RequantiseSpec(
            rows=2, lanes=1, channels=96, group=96, sum_bits=27, output_bits=8, symmetric=True, zero_point=True
        ),
    ),
    "row_quantise": (RowQuantise, RowQuantiseSpec(rows=4, lanes=2, features=64, unsigned=True)),
    "residual": (ResidualAdd, ResidualSpec(rows=4, lanes=2, features=32, depth=512, output_bits=16)),
    "softmax": (
        Softmax,
        SoftmaxSpec(rows=2, lanes=4, heads=3, max_length=128, score_bits=20, key_multiple=12, value_multiple=24),
    ),
    "causal_softmax": (
        Softmax,
        SoftmaxSpec(
            rows=4, lanes=2, heads=2, max_length=64, score_bits=20, key_multiple=4, value_multiple=6, causal=True
        ),
    ),
    "layer_norm": (LayerNorm, LayerNormSpec(rows=2, lanes=2, features=768)),
    "activation": (Activation, ActivationSpec(rows=4, lanes=4, features=64, max_tiles=32)),
    "embedding": (
        Embedding,
        EmbeddingSpec(rows=4, lanes=4, hidden=64, vocabulary=1000, positions=256, latency_cycles=80),
    ),
    "deep_buffer": (lambda depth: StreamBuffer(unsigned(96), depth), 96),
    "deep_ram": (lambda banks: Ram(16, banks * BLOCK_DEPTH["ultra"], "ultra"), 24),
    "top_k": (TopK, TopKSpec(rows=4, lanes=8, features=50257, largest=12)),
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_keeps_the_limits(name: str) -> None:
    emitter = Emitter()
    unit, spec = UNITS[name]
    emitter.emit(unit(spec), name)
    timing = analyse(map_modules(emitter.modules, fastest=True, processes=1), name)
    assert [str(failure) for failure in failures(timing)] == []
