"""Counted against simulated cycles, over models, geometries, tiles, lengths and layers.

``python -m bench.cycles`` prints the table, ``python -m bench.cycles "minilm-l6 on u280"`` the rows of these designs
alone. ``--write`` puts the whole table into docs/cycles.md.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model.load import load_model
from hdl.model.quantise import quantise
from hdl.model.weights import random_weights
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule.encoder_schedule import counted_cycles
from hdl.top.emitter import Emitter
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import MemoryImage, build_image
from sim.accelerator import Accelerator
from tests.model.networks import bert, layer

EACH, MEAN = 0.05, 0.02
"""The greatest and the mean difference that are allowed."""

DOCUMENT = Path(__file__).parents[1] / "docs" / "cycles.md"

SEED = 1

HEADINGS = ("design", "hidden", "tile", "MAC/cycle", "tokens", "layers", "counted", "simulated", "difference")

# Every unit takes several passes.
BASE = PipelineSpec(
    layer=layer("bert", 32, 2, 64), max_length=32, max_layers=4, rows=4, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(4, 2), projection=(4, 1), ffn1=(4, 2), ffn2=(4, 2), scores=(4, 1), sums=(4, 1)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
# Sizes that are no powers of two.
ODD = PipelineSpec(
    layer=layer("bert", 96, 3, 200), max_length=21, max_layers=2, rows=2, lanes=1, ffn_lanes=2, score_lanes=3,
    arrays=Arrays(qkv=(6, 3), projection=(3, 3), ffn1=(10, 2), ffn2=(8, 3), scores=(6, 1), sums=(4, 3)),
    channels=(2, 1, 2, 1),
)  # fmt: skip
# Attention sets the pace.
LONG = PipelineSpec(
    layer=layer("bert", 64, 4, 128), max_length=160, max_layers=3, rows=4, lanes=2, ffn_lanes=4, score_lanes=2,
    arrays=Arrays(qkv=(16, 2), projection=(8, 2), ffn1=(16, 2), ffn2=(16, 2), scores=(4, 1), sums=(4, 1)),
    channels=(2, 1, 2, 2),
)  # fmt: skip
# One unit is slower than the others.
NARROW = PipelineSpec(
    layer=layer("bert", 128, 4, 384), max_length=64, max_layers=3, rows=8, lanes=4, ffn_lanes=8, score_lanes=4,
    arrays=Arrays(qkv=(12, 4), projection=(8, 1), ffn1=(24, 1), ffn2=(4, 2), scores=(16, 1), sums=(8, 2)),
    channels=(1, 1, 1, 1),
)  # fmt: skip
# Arrays are so fast that streams and row-wise units set the pace.
FAST = PipelineSpec(
    layer=layer("bert", 64, 2, 128), max_length=48, max_layers=4, rows=2, lanes=1, ffn_lanes=1, score_lanes=1,
    arrays=Arrays(qkv=(32, 4), projection=(32, 2), ffn1=(32, 4), ffn2=(32, 4), scores=(16, 2), sums=(16, 2)),
    channels=(3, 2, 4, 4),
)  # fmt: skip


@dataclass(frozen=True)
class Design:
    """A pipeline, and the (tokens, layers) to run through it; ``large``: worth a longer build of its simulation."""

    name: str
    spec: PipelineSpec
    runs: tuple[tuple[int, int], ...]
    large: bool = False


def designs() -> Iterator[Design]:
    """What is counted and simulated, from small to large."""
    device = load_device("u280")
    yield Design("several passes", BASE, ((1, 4), (7, 1), (32, 3)))
    yield Design("odd sizes", ODD, ((1, 2), (5, 1), (21, 2)))
    yield Design("attention sets the pace", LONG, ((3, 3), (50, 2), (160, 3)))
    yield Design("one slow unit", NARROW, ((8, 1), (33, 3), (64, 2)))
    yield Design("fast arrays", FAST, ((2, 1), (20, 4), (48, 3)))
    for tile in (2, 4, 8):
        spec = plan(load_model("tiny-bert"), device, tile=tile)
        yield Design("tiny-bert on u280", spec, ((9, 1), (60, 2), (128, 2)))
    spec = plan(load_model("minilm-l6"), device, tile=8, max_length=128)
    yield Design("minilm-l6 on u280, 128 tokens at most", spec, ((8, 1), (40, 2)), large=True)
    spec = plan(load_model("minilm-l6"), device)
    yield Design("minilm-l6 on u280", spec, ((4, 2), (16, 6), (60, 2)), large=True)
    yield Design("bert-base on u280", plan(load_model("bert-base"), device), ((16, 2), (64, 2), (128, 1)), large=True)


def random_image(spec: PipelineSpec, layers: int) -> MemoryImage:
    """The memory of a network of a pipeline's shape with random weights: cycles do not depend on values."""
    sizes = {"hidden": spec.hidden, "heads": spec.heads, "intermediate": spec.intermediate}
    network = bert("random", layers=layers, max_positions=spec.max_length, vocabulary=100, **sizes)
    texts = np.random.default_rng(SEED).integers(0, network.vocabulary, (2, 8)).tolist()
    return build_image(quantise(random_weights(network, SEED), texts), spec)


def simulate(design: Design) -> Iterator[tuple[int, int, int]]:
    """Tokens, layers and simulated cycles of each run."""
    spec = design.spec
    sources = Emitter().emit(Pipeline(spec), "pipeline")
    image = random_image(spec, max(layers for _, layers in design.runs))
    threads, optimise = (2, "-O2") if design.large else (1, "-O0")
    with Accelerator.verilated(spec, sources, image, threads=threads, optimise=optimise) as accelerator:
        for tokens, layers in design.runs:
            values = np.random.default_rng(SEED).integers(-4000, 4000, (tokens, spec.hidden))
            yield tokens, layers, accelerator.run(values, layers=layers).cycles


def markdown(rows: list[tuple[str, ...]], verdict: str) -> str:
    """The table as a document."""
    lines = [
        "# Cycles: counted and simulated",
        "",
        "`python -m bench.cycles --write` writes this page. The cycles of a run count from the first beat of tokens",
        "that the pipeline accepts to the last beat of the last layer's output.",
        "Counted: `hdl/perf`, before any hardware exists. Simulated: the emitted Verilog in",
        "Verilator, with random weights. Every stream is always ready.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|" + "---:|" * (len(HEADINGS) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        verdict + ".",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Prints the table as it comes about; 1 where a difference is too great."""
    console = Console(highlight=False, width=120)
    wanted, rows, differences = [name for name in sys.argv[1:] if name != "--write"], [], []
    table = Table(title="cycles of a run")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "design" else "right")
    for design in designs():
        spec = design.spec
        if wanted and design.name not in wanted:
            continue
        for tokens, layers, simulated in simulate(design):
            counted = counted_cycles(spec, tokens, layers)
            differences.append(counted / simulated - 1)
            numbers = (spec.hidden, spec.rows, spec.macs, tokens, layers, counted, simulated)
            rows.append((design.name, *(f"{number:,}" for number in numbers), f"{differences[-1]:+.2%}"))
            table.add_row(*rows[-1])
        console.print(f"{design.name}: {len(design.runs)} runs simulated")
    if not rows:
        sys.exit(f"no design has a name of these: {', '.join(wanted)}")
    mean, worst = float(np.abs(differences).mean()), float(np.abs(differences).max())
    verdict = f"{len(rows)} configurations: mean difference {mean:.3%}, greatest {worst:.3%}"
    console.print(table)
    console.print(verdict)
    if "--write" in sys.argv[1:] and not wanted:
        DOCUMENT.write_text(markdown(rows, verdict))
    return int(worst > EACH or mean > MEAN)


if __name__ == "__main__":
    sys.exit(main())
