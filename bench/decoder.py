"""A decoder at full size: a prompt and some tokens through its emitted Verilog, every layer and candidate compared.
``python -m bench.decoder [model prompt tokens]``; those of `SUBJECTS` where nothing is said."""

import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model.checkpoint import installed_checkpoint
from hdl.model.gpt2.prepare import prepare
from hdl.model.gpt2.quantise import quantise
from hdl.model.gpt2.quantised import QuantisedGpt2
from hdl.model.gpt2.reference import Decoder, Step, top_k
from hdl.model.gpt2.weights import random_weights
from hdl.model.spec import Gpt2Spec, load_model
from hdl.perf.builtdecoder import BuiltDecoderSpec
from hdl.perf.device import Device, load_device
from hdl.perf.plan import plan
from hdl.top.decoder.image import build_decoder_image
from hdl.top.decoder.pipeline import DecoderPipeline
from hdl.top.emitter import Emitter
from sim.decoder import DecoderRun, DecoderSimulation
from sim.generate import limits
from sim.memory import MemoryTiming

SUBJECTS = (("tiny-gpt2", 32, 64), ("gpt2", 128, 4))
"""Models with the tokens of a prompt and those behind it."""

SEED, CALIBRATION = 1, 32

HELD_BACK = "held_back.txt"
"""Beside a checkpoint, text that it was not trained on."""

GOAL = 0.80
"""Of the limit, for a prompt and for a token."""


def main() -> int:
    """Prints a table for each subject; 1 where a value differs."""
    subjects = SUBJECTS
    if len(sys.argv) > 1:
        name, prompt, tokens = sys.argv[1:]
        subjects = ((name, int(prompt), int(tokens)),)
    wrong = [measured(*subject) for subject in subjects]
    return int(any(wrong))


def measured(name: str, prompt: int, tokens: int) -> bool:
    """Prints what a model takes; whether a value differs."""
    console, device = Console(highlight=False, width=130), load_device("u280")
    model = load_model(name, Gpt2Spec)
    # A trained one as the demonstration has it, whose build is then there already.
    length = model.max_positions if installed_checkpoint(name) else prompt + tokens
    spec = plan(model, device, max_length=length)
    assert isinstance(spec, BuiltDecoderSpec)
    started = time.monotonic()
    sources = Emitter().emit(DecoderPipeline(spec), "decoder")
    console.print(f"emitted in {time.monotonic() - started:.0f} s: {spec.macs:,} MAC/cycle, {spec.resources}")
    quantised, part = quantised_with_prompt(model, prompt)
    timing = MemoryTiming.of(device.memory, device.clock_mhz)
    table = headed(f"{name} on {device.board} at {device.clock_mhz} MHz, its memory's timing")
    wrong, candidates = False, spec.largest
    image = build_decoder_image(quantised, spec)
    with DecoderSimulation.verilated(spec, sources, image, timing=timing) as simulation:
        console.print(f"built in {time.monotonic() - started:.0f} s")
        reference = Decoder(quantised)
        for step in range(1 + tokens):
            expected = reference.prefill(part)
            run = simulation.run(part, restart=step == 0, k=candidates, traced=True)
            wrong |= differs(run, expected, candidates)
            row(table, spec, device, len(part), reference.tokens, run)
            part = [int(run.candidates.ids[0])]
    console.print(table)
    compared = f"every layer's output, all {candidates} candidates and their logits"
    console.print("a value differs" if wrong else f"bit-exact: {compared} of {tokens + 1} runs")
    console.print(f"the goal is {GOAL:.2f} of the limit, for a prompt and for a token")
    return wrong


def quantised_with_prompt(model: Gpt2Spec, tokens: int) -> tuple[QuantisedGpt2, list[int]]:
    """The trained model with the beginning of the text that it never saw, or random weights and a random prompt."""
    folder = installed_checkpoint(model.name)
    if folder is not None:
        prepared = prepare(model)
        return prepared.quantised, prepared.tokens.ids((folder / HELD_BACK).read_text())[:tokens]
    ids = np.random.default_rng(SEED).integers(0, model.vocabulary, tokens).tolist()
    return quantise(random_weights(model, SEED), [ids[:CALIBRATION]]), ids


def differs(run: DecoderRun, expected: Step, candidates: int) -> bool:
    """Whether a layer's output or a candidate is not the reference's."""
    best = top_k(expected.logits[-1], candidates)
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


def row(table: Table, spec: BuiltDecoderSpec, device: Device, tokens: int, position: int, run: DecoderRun) -> None:
    """Adds a run."""
    read = sum(use.read for use in run.memory.values())
    by = limits(spec, device, tokens, read)
    bound = max(by, key=lambda one: by[one])
    weights = [use for name, use in run.memory.items() if name.startswith("weights")]
    spent = [sum(getattr(use, what) for use in weights) for what in ("busy", "refresh", "waiting", "idle")]
    every = sum(spent) + sum(use.refused for use in weights)
    table.add_row(
        f"{tokens}", f"{position - tokens}", f"{run.cycles:,}", f"{run.cycles / device.clock_mhz / 1e3:.3f}",
        f"{by[bound]:,.0f}", f"{by[bound] / run.cycles:.3f}", bound, *(f"{one / every:.1%}" for one in spent),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
