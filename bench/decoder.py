"""A decoder at full size: a prompt and some tokens through its emitted Verilog, every layer and candidate compared.
``python -m bench.decoder [model] [prompt] [tokens]``; gpt2, 128 tokens and 4 more, where nothing is said."""

import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model.gpt2.quantise import quantise
from hdl.model.gpt2.reference import Decoder, Step, top_k
from hdl.model.gpt2.weights import random_weights
from hdl.model.network import Network
from hdl.model.spec import Gpt2Spec, load_model
from hdl.perf.builtdecoder import BuiltDecoderSpec
from hdl.perf.device import Device, load_device
from hdl.perf.limits import run_limits
from hdl.perf.memorytiming import MemoryTiming
from hdl.perf.plan import plan
from hdl.top.decoder.image import build_decoder_image
from hdl.top.decoder.pipeline import DecoderPipeline
from hdl.top.emitter import Emitter
from sim.decoder import DecoderRun, DecoderSimulation

SEED, CANDIDATES, CALIBRATION = 1, 10, 32

GOAL = 0.80
"""Of the limit, for a prompt and for a token."""


def main() -> int:
    """Prints the table; 1 where a value differs."""
    name, prompt, tokens = [*sys.argv[1:], *["gpt2", "128", "4"][len(sys.argv) - 1 :]]
    console, device = Console(highlight=False, width=130), load_device("u280")
    model, count = load_model(name, Gpt2Spec), int(prompt)
    spec = plan(model, device, max_length=count + int(tokens))
    assert isinstance(spec, BuiltDecoderSpec)
    started = time.monotonic()
    sources = Emitter().emit(DecoderPipeline(spec), "decoder")
    console.print(f"emitted in {time.monotonic() - started:.0f} s: {spec.macs:,} MAC/cycle, {spec.resources}")
    generator = np.random.default_rng(SEED)
    ids = generator.integers(0, model.vocabulary, count).tolist()
    quantised = quantise(random_weights(model, SEED), [ids[:CALIBRATION]])
    timing = MemoryTiming.of(device.memory, device.clock_mhz)
    table = headed(f"{name} on {device.board} at {device.clock_mhz} MHz, its memory's timing")
    wrong = False
    image = build_decoder_image(quantised, spec)
    with DecoderSimulation.verilated(spec, sources, image, timing=timing) as simulation:
        console.print(f"built in {time.monotonic() - started:.0f} s")
        reference, part = Decoder(quantised), ids
        for step in range(1 + int(tokens)):
            expected = reference.prefill(part)
            run = simulation.run(part, restart=step == 0, k=CANDIDATES, traced=True)
            wrong |= differs(run, expected)
            row(table, Network.from_spec(model), spec, device, len(part), reference.tokens, run)
            part = [int(run.candidates.ids[0])]
    console.print(table)
    console.print("a value differs" if wrong else "bit-exact: every layer's output, every candidate and its logit")
    console.print(f"the goal is {GOAL:.2f} of the limit, for a prompt and for a token")
    return int(wrong)


def differs(run: DecoderRun, expected: Step) -> bool:
    """Whether a layer's output or a candidate is not the reference's."""
    best = top_k(expected.logits[-1], CANDIDATES)
    wanted = [*(trace["residual2"] for trace in expected.layers), best.ids, best.logits]
    assert run.layers is not None
    found = [*run.layers, run.candidates.ids, run.candidates.logits]
    return not all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def headed(title: str) -> Table:
    """An empty table."""
    table = Table(title=title, title_justify="left")
    figures = ("tokens", "behind", "cycles", "ms", "limit", "share", "bound by")
    for heading in (*figures, "channels busy", "refresh", "waiting", "idle"):
        table.add_column(heading, justify="right")
    return table


def row(
    table: Table, network: Network, spec: BuiltDecoderSpec, device: Device, tokens: int, position: int, run: DecoderRun
) -> None:
    """Adds a run."""
    read = sum(use.read for use in run.memory.values())
    behind = position - tokens
    limit = run_limits(network, device, spec.resources.dsp, tokens=tokens, context=behind, read=read)
    weights = [use for name, use in run.memory.items() if name.startswith("weights")]
    spent = [sum(getattr(use, what) for use in weights) for what in ("busy", "refresh", "waiting", "idle")]
    every = sum(spent) + sum(use.refused for use in weights)
    table.add_row(
        f"{tokens}", f"{behind}", f"{run.cycles:,}", f"{run.cycles / device.clock_mhz / 1e3:.3f}",
        f"{limit.longest:,.0f}", f"{limit.longest / run.cycles:.3f}", limit.bound,
        *(f"{one / every:.1%}" for one in spent),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
