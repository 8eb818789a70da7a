"""The DSP48E2 cascade: the primitive and its twin give the dot products, cycle for cycle the same."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dsp import CASCADE, CASCADE_SUM_BITS, Cascade
from hdl.hierarchy import place
from hdl.top.emitter import PRIMITIVE_DEFINE, Emitter
from sim.beats import pack, unpack
from sim.streams import stream_ports
from sim.verilator import build

MODEL = Path(__file__).with_name("dsp48e2.v")


class Bench(wiring.Component):
    """A cascade behind streams: a beat a cycle, sums whenever the output is ready (the cascade itself never waits)."""

    input: In(stream.Signature(3 * CASCADE * 8))
    output: Out(stream.Signature(2 * CASCADE_SUM_BITS))

    def elaborate(self, platform):
        m = Module()
        cascade = Cascade()
        m.submodules.cascade = place(platform, cascade)
        # Element i enters i cycles late; the valid bit travels along.
        for i in range(CASCADE):
            for source in range(3):
                value = self.input.payload.word_select(source * CASCADE + i, 8)
                for step in range(i):
                    late = Signal(8, name=f"late_{source}_{i}_{step}")
                    m.d.sync += late.eq(value)
                    value = late
                sink = cascade.weights if source == 2 else cascade.activations[source * 64 : source * 64 + 64]
                m.d.comb += sink.word_select(i, 8).eq(value)
        valid = Signal(Cascade.latency)
        m.d.sync += valid.eq((valid << 1) | self.input.valid)
        m.d.comb += [self.input.ready.eq(1), self.output.valid.eq(valid[-1]), self.output.payload.eq(cascade.sums)]
        return m


@pytest.mark.parametrize("primitive", [False, True])
def test_both_forms_give_the_dot_products(primitive: bool) -> None:
    rng = np.random.default_rng(1)
    extremes = np.array(
        [[a] * 8 + [b] * 8 + [w] * 8 for a in (-128, 0, 127) for b in (-128, 0, 127) for w in (-127, 1, 127)]
    )
    random = np.concatenate([rng.integers(-128, 128, (2000, 16)), rng.integers(-127, 128, (2000, 8))], axis=1)
    vectors = np.concatenate([extremes, random, extremes[::-1]])
    bench = Bench()
    sources = Emitter().emit(bench, "bench")
    if primitive:
        sources = {name: f"`define {PRIMITIVE_DEFINE}\n{text}" for name, text in sources.items()}
        sources["dsp48e2.v"] = MODEL.read_text()
    design = build(sources, "bench", [port for port, _ in stream_ports(bench).values()])
    result = design.run({"input": pack(vectors & 255, 8)}, {"output": len(vectors)})
    activations, weights = vectors[:, :16].reshape(-1, 2, 8), vectors[:, 16:]
    sums = unpack(result.outputs["output"], CASCADE_SUM_BITS, 2, True)
    np.testing.assert_array_equal(sums, (activations * weights[:, None]).sum(axis=2))
    assert result.accepted["output"][0] - result.accepted["input"][0] == Cascade.latency
