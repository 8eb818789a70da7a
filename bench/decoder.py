"""A decoder at full size: a prompt and some tokens through its emitted Verilog, every layer and candidate compared.
The limit is of what the network asks for: two of its multiplications a cycle in each DSP, and its bytes at the
memory's peak."""

import sys
import time
from dataclasses import replace

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin, installed_checkpoint
from hdl.model.prepare import prepare
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder, Step, best_candidates
from hdl.model.weightbits import WeightBits
from hdl.model.weights import random_weights
from hdl.perf.choice.built import plan
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import Device, load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.limits import Limits
from hdl.perf.memory_timing import MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles
from hdl.top.commands.options import tile_option, weight_options
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.emitter import Emitter
from hdl.top.image import build_image
from sim.decoder import DecoderSimulation, SimulatedDecoderRun

SEED, CALIBRATION = 1, 32

HELD_BACK = "held_back.txt"
"""Beside a checkpoint, text that it was not trained on."""

GOAL = 0.80
"""Of the limit, for a prompt and for a token."""


@click.command(help=__doc__)
@click.option(
    "--model",
    default="gpt2",
    show_default=True,
    help="A preset of the family gpt2; weights are random where it does not come trained.",
)
@click.option("--prompt", type=int, default=128, show_default=True, help="Its tokens.")
@click.option("--tokens", type=int, default=4, show_default=True, help="Written behind it, one by one.")
@click.option("--layers", type=int, help="Only so many of its layers, on the hardware for all of them.")
@click.option("--max-length", type=int, help="Room for so many tokens.  [default: all that there are here]")
@weight_options
@tile_option
def main(
    model: str,
    prompt: int,
    tokens: int,
    layers: int | None,
    max_length: int | None,
    weight_bits: WeightBits,
    tile: int | None,
) -> None:
    """Prints the table; exit code 1 where a value differs."""
    console, device = Console(highlight=False, width=140), load_device("u280")
    whole = load_model(model)
    # A trained one as the demonstration has it, whose build is then there already.
    length = max_length or (whole.max_positions if installed_checkpoint(model) else prompt + tokens)
    spec = plan(whole, device, max_length=length, weight_bits=weight_bits, tile=tile)
    assert isinstance(spec, DecoderSpec)
    some = replace(whole, layers=layers or whole.layers)
    spec = replace(spec, max_layers=some.layers)
    started = time.monotonic()
    sources = Emitter().emit(DecoderPipeline(spec), "decoder")
    console.print(f"emitted in {time.monotonic() - started:.0f} s: {spec.macs:,} MAC/cycle, {spec.resources}")
    console.print(f"{some.layers} of {whole.layers} layers, {spec}")
    trained = some == whole and installed_checkpoint(model) is not None
    origin = Origin.of(model) if trained else None
    quantised, part = quantised_with_prompt(some, prompt, weight_bits, origin)
    timing = MemoryTiming.of_device(device)
    table = headed(f"{model} on {device.board} at {device.clock_mhz} MHz, its memory's timing")
    design, wrong, candidates = SpatialDesign(some, spec), False, spec.largest
    image = build_image(quantised, spec)
    with DecoderSimulation.verilated(spec, sources, image, timing=timing) as simulation:
        console.print(f"built in {time.monotonic() - started:.0f} s")
        reference = Decoder(quantised)
        for step in range(1 + tokens):
            expected = reference.prefill(part)
            run = simulation.run(part, restart=step == 0, k=candidates, traced=True)
            wrong |= differs(run, expected, candidates)
            row(table, design, device, len(part), reference.tokens - len(part), run)
            part = [int(run.candidates.ids[0])]
    console.print(table)
    compared = f"every layer's output, all {candidates} candidates and their logits"
    console.print("a value differs" if wrong else f"bit-exact: {compared} of {tokens + 1} runs")
    console.print(f"the goal is {GOAL:.2f} of the limit, for a prompt and for a token")
    sys.exit(int(wrong))


def quantised_with_prompt(
    model: Network, tokens: int, weight_bits: WeightBits, origin: Origin | None
) -> tuple[Quantised, list[int]]:
    """The trained model of an ``origin`` with the beginning of the text that it never saw; without one, random
    weights and a random prompt."""
    if origin is not None:
        prepared = prepare(model, origin, weight_bits=weight_bits)
        return prepared.quantised, prepared.tokens.ids((origin.folders[0] / HELD_BACK).read_text())[:tokens]
    ids = np.random.default_rng(SEED).integers(0, model.vocabulary, tokens).tolist()
    return quantise(random_weights(model, SEED), [ids[:CALIBRATION]], weight_bits=weight_bits), ids


def differs(run: SimulatedDecoderRun, expected: Step, candidates: int) -> bool:
    """Whether a layer's output or a candidate is not the reference's."""
    best = best_candidates(expected.logits[-1], candidates)
    wanted = [*(trace["residual2"] for trace in expected.layers), best.ids, best.logits]
    assert run.layers is not None
    found = [*run.layers, run.candidates.ids, run.candidates.logits]
    return not all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def headed(title: str) -> Table:
    """An empty table."""
    table = Table(title=title, title_justify="left")
    figures = ("tokens", "behind", "cycles", "counted", "ms", "limit", "share", "bound by")
    for heading in (*figures, "channels busy", "refresh", "waiting", "idle"):
        table.add_column(heading, justify="right")
    return table


def row(
    table: Table, design: SpatialDesign, device: Device, tokens: int, behind: int, run: SimulatedDecoderRun
) -> None:
    """Adds a run, and the cycles that were counted before it."""
    spec = design.spec
    assert isinstance(spec, DecoderSpec)
    counted = counted_decoder_cycles(spec, tokens, behind, MemoryTiming.of_device(device), len(run.candidates.ids))
    phase = design.decode(behind) if tokens == 1 else design.prefill(tokens)
    limit = Limits.of(phase.macs, spec.resources.dsp, phase.bytes, device.memory.bytes_a_cycle(device.clock_mhz))
    weights = [use for name, use in run.memory.items() if name.startswith("weights")]
    spent = [sum(getattr(use, what) for use in weights) for what in ("busy", "refresh", "waiting", "idle")]
    every = sum(spent) + sum(use.refused for use in weights)
    table.add_row(
        f"{tokens}", f"{behind}", f"{run.cycles:,}", f"{counted:,}", f"{run.cycles / device.clock_mhz / 1e3:.3f}",
        f"{limit.longest:,.0f}", f"{limit.longest / run.cycles:.3f}", limit.bound,
        *(f"{one / every:.1%}" for one in spent),
    )  # fmt: skip


if __name__ == "__main__":
    main()
