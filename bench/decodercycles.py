"""Counted and simulated cycles of decoders, for prompts and tokens, with an immediate memory and with that of the U280.

``python -m bench.decodercycles`` prints the table. ``--all`` adds tiny-gpt2, which takes long to build. ``--write``
writes docs/decodercycles.md.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.paper import table
from hdl.model.load import load_model
from hdl.model.weightbits import W4, W8
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles
from hdl.top.image import build_image
from sim.decoder import DecoderSimulation
from tests.model.networks import head, layer
from tests.top.decoder.designs import FAR, HEAVY, ODD, TINY
from tests.top.decoder.simulations import model_of, sources, words

EACH = 0.05
"""The greatest difference that is allowed."""

DOCUMENT = Path(__file__).parents[1] / "docs" / "decodercycles.md"

HEADINGS = ("design", "weights", "memory", "tokens", "context", "counted", "simulated", "difference")

INTRODUCTION = """\
# Cycles of decoders: counted and simulated

`python -m bench.decodercycles --write` writes this page. The cycles of a run count from the last token that enters
to the best candidate that leaves. Counted: `hdl/perf`, before any hardware exists. Simulated: the
emitted Verilog in Verilator, with random weights. The memory either answers at once, or it has the latency, the
rate, the rows and the refreshes of the U280's HBM2 at 300 MHz. "Context" is the number of tokens before the run.

Three effects are not counted exactly when the memory answers at once. First, a logit late in the vocabulary that is
better than all before it costs one cycle. Second, the model assumes that embeddings arrive evenly among the
parameters, with which they share a port. Third, in very long prompts attention sets the pace of the last tiles, and
the model does not follow everything that keeps the following tiles waiting. With the U280's memory, a run may also
begin in the middle of a channel's refresh; the model counts it as if it began after a reset.
"""

GPT2 = """
gpt2 at full size with the U280's memory, a prompt of 128 and one token after it (`python -m bench.decoder`): simulated
919,393 and 93,684 cycles; counted {prompt:,} ({prompt_off:+.2%}) and {token:,} ({token_off:+.2%}).
"""

MEASURED = {(128, 0): 919_393, (1, 128): 93_684}
"""Cycles of `bench.decoder` for gpt2, by tokens and how many are before them, in this design."""

FULL = DecoderSpec(
    layer=layer("gpt2", 768, 12, 3072), max_length=132, max_layers=12, rows=4, lanes=4, ffn_lanes=4, score_lanes=3,
    arrays=Arrays(qkv=(24, 4), projection=(8, 4), ffn1=(32, 4), ffn2=(32, 4), scores=(12, 1), sums=(4, 3)),
    channels=(8, 3, 10, 10),
    head=head("gpt2", 768, 50257), cache_on_chip=True,
)  # fmt: skip


def designs() -> Iterator[tuple[str, DecoderSpec]]:
    """What is counted and simulated."""
    yield "several passes", TINY
    yield "odd sizes", ODD
    yield "weights decide", HEAVY
    yield "keys and values off chip", FAR
    model = load_model("tiny-gpt2")
    for bits in (W8, W4) if "--all" in sys.argv[1:] else ():
        spec = plan(model, load_device("u280"), weight_bits=bits)
        assert isinstance(spec, DecoderSpec)
        yield "tiny-gpt2 on u280", spec


def runs(spec: DecoderSpec) -> list[tuple[int, bool]]:
    """Tokens, and whether they begin a text."""
    middle = min(32, spec.positions // 2)
    return [(1, True), (6, True), (1, False), (middle, True), (1, False), (spec.positions - 1, True), (1, False)]


def simulate(spec: DecoderSpec, timing: MemoryTiming) -> Iterator[tuple[int, int, int]]:
    """Tokens, how many are before them, and simulated cycles of each run."""
    image = build_image(model_of(spec), spec)
    options = {"timing": timing, "threads": 1, "optimise": "-O1"}
    with DecoderSimulation.verilated(spec, sources(spec), image, **options) as simulation:
        for tokens, restart in runs(spec):
            run = simulation.run(words(spec, tokens, 1), restart=restart, k=1)
            yield tokens, run.position - tokens, run.cycles


def full_size() -> str:
    """gpt2 against what bench.decoder measures."""
    device = load_device("u280")
    timing = MemoryTiming.of_device(device)
    found = {run: counted_decoder_cycles(FULL, *run, timing, 64) for run in MEASURED}
    (prompt, token), (prompt_off, token_off) = found.values(), (found[run] / MEASURED[run] - 1 for run in MEASURED)
    return GPT2.format(prompt=prompt, token=token, prompt_off=prompt_off, token_off=token_off)


def main() -> int:
    """Prints the table; 1 where a difference is too great."""
    device, rows, differences = load_device("u280"), [], []
    memories = {"at once": IDEAL, "U280": MemoryTiming.of_device(device)}
    for name, spec in designs():
        for memory, timing in memories.items():
            for tokens, behind, simulated in simulate(spec, timing):
                counted = counted_decoder_cycles(spec, tokens, behind, timing)
                differences.append(counted / simulated - 1)
                figures = (f"{figure:,}" for figure in (tokens, behind, counted, simulated))
                rows.append([name, str(spec.weight_bits), memory, *figures, f"{differences[-1]:+.2%}"])
    mean, worst = float(np.abs(differences).mean()), float(np.abs(differences).max())
    verdict = f"{len(rows)} runs: mean difference {mean:.3%}, greatest {worst:.3%}."
    text = "\n".join([INTRODUCTION, table(HEADINGS, rows), "", verdict, full_size()])
    Console(highlight=False, width=140).print(text, markup=False)
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(text)
    return int(worst > EACH)


if __name__ == "__main__":
    sys.exit(main())
