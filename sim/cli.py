"""The demonstration: real text through the emitted Verilog, every layer's output checked against the integer
reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hdl.errors import InputError
from hdl.model import floating, reference
from hdl.model.prepare import Prepared, prepare
from hdl.model.spec import BertSpec, load_model
from hdl.perf.device import load_device
from hdl.perf.plan import plan
from hdl.perf.spec import PipelineSpec
from hdl.top.console import run_command
from hdl.top.emitter import Emitter
from hdl.top.image import build_image
from hdl.top.pipeline import Pipeline
from sim.accelerator import Accelerator, AcceleratorRun

__all__ = ["main"]

INTERPRETED_WEIGHTS = 50_000
"""Weights a layer of the largest model that Amaranth's own simulator runs in minutes."""


@dataclass(frozen=True)
class Result:
    """A text's run: its tokens, the first place where a layer's output is not the reference's, its embeddings, its
    cycles."""

    text: str
    tokens: int
    mismatch: str | None
    embedding: np.ndarray
    float_embedding: np.ndarray
    cycles: int


@click.command()
@click.option("--model", required=True, help="A built-in model's name, or the path of its config.json.", metavar="NAME")
@click.option("--text", "texts", multiple=True, required=True, help="A text; may be given several times.")
@click.option("--simulator", type=click.Choice(["verilator", "amaranth"]), default="verilator", show_default=True)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights in safetensors.", metavar="PATH")
@click.option("--static", is_flag=True, help="Fix the ranges of rows by calibration.")
@click.option("--device", default="u280", show_default=True, help="The FPGA.", metavar="NAME")
@click.option("--tile", type=int, default=4, show_default=True, help="Tokens worked on at once: 2, 4 or 8.")
@click.option("--max-length", type=int, help="Tokens of the longest sequence.  [default: 512, or the model's most]")
@click.option(
    "--waves", type=click.Path(path_type=Path), help="A VCD file to write, of the first text.", metavar="FILE"
)
@click.option("--threads", type=int, default=2, show_default=True, help="Threads of the simulation.")
def cli(
    model: str,
    texts: tuple[str, ...],
    simulator: str,
    checkpoint: Path | None,
    static: bool,
    device: str,
    tile: int,
    max_length: int | None,
    waves: Path | None,
    threads: int,
) -> int:
    """Run texts through the accelerator, in a simulator, and check every value that leaves a layer."""
    console = Console(stderr=True, highlight=False)
    network = load_model(model)
    spec = plan(network, load_device(device), tile=tile, max_length=max_length)
    check_options(network, simulator, waves, threads)
    with shown_steps(console) as steps:
        task = steps.add_task("loading and quantising", total=None)
        prepared = prepare(network, checkpoint=checkpoint, static=static)
        ids = [prepared.tokens.of(text, spec.max_length) for text in texts]
        accelerator = built(spec, prepared, simulator, waves, threads, steps)
        steps.remove_task(task)
        with accelerator:
            results = [
                checked(prepared, accelerator, text, tokens, waves if index == 0 else None, steps)
                for index, (text, tokens) in enumerate(zip(texts, ids, strict=True))
            ]
    report(results, prepared, spec, simulator)
    return 1 if any(result.mismatch for result in results) else 0


def check_options(network: BertSpec, simulator: str, waves: Path | None, threads: int) -> None:
    """Refuses what would fail, or never end, after a long build."""
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    if simulator == "amaranth" and network.layer_weights > INTERPRETED_WEIGHTS:
        raise InputError(
            f"Amaranth's simulator is for models of up to {INTERPRETED_WEIGHTS:,} weights a layer, such as tiny-bert; "
            f"{network.name!r} has {network.layer_weights:,}: use --simulator verilator"
        )
    if waves is not None:
        try:
            with NamedTemporaryFile(
                dir=waves.parent
            ):  # the file itself must not appear before there is something in it
                pass
        except OSError as error:
            raise InputError(f"waves file {waves} cannot be written: {error.strerror}") from error


def built(
    spec: PipelineSpec, prepared: Prepared, simulator: str, waves: Path | None, threads: int, steps: Progress
) -> Accelerator:
    """The accelerator in the simulator asked for."""
    image = build_image(prepared.quantised.layers, spec)
    if simulator == "amaranth":
        return Accelerator.interpreted(spec, image)
    with step(steps, "emitting Verilog"):
        sources = Emitter().emit(Pipeline(spec), "pipeline")
    with step(steps, "building the simulation (once; a full-size one takes minutes)"):
        return Accelerator.verilated(spec, sources, image, threads=threads, trace=waves is not None)


def checked(
    prepared: Prepared, accelerator: Accelerator, text: str, ids: Sequence[int], waves: Path | None, steps: Progress
) -> Result:
    """Runs a text and compares all layers' outputs with the integer reference."""
    quantised = prepared.quantised
    tokens = quantised.embed(ids)
    total = len(tokens) * quantised.spec.layers
    task = steps.add_task(f"simulating {len(tokens)} tokens", total=total)

    def moved(cycle: int, beats: "dict[str, int] | object") -> None:
        done = beats.get("outputs", 0) if isinstance(beats, dict) else 0
        share = accelerator.spec.tile_beats / accelerator.spec.rows
        steps.update(
            task, completed=min(total, done / share), description=f"simulating {len(tokens)} tokens, cycle {cycle:,}"
        )

    run = accelerator.run(tokens, waves=waves, progress=moved)
    steps.remove_task(task)
    return Result(
        text=text,
        tokens=len(tokens),
        mismatch=first_mismatch(run, reference.run(quantised, tokens)),
        embedding=quantised.pool(run.layers[-1]),
        float_embedding=floating.pool(floating.encode(ids, prepared.weights)),
        cycles=run.cycles,
    )


def first_mismatch(run: AcceleratorRun, expected: Iterable[np.ndarray]) -> str | None:
    """Where the first wrong value is, in words; None where all are right."""
    for index, (found, wanted) in enumerate(zip(run.layers, expected, strict=True)):
        wrong = np.argwhere(found != wanted)
        if len(wrong):
            token, feature = wrong[0]
            return (
                f"layer {index}, token {token}, feature {feature}: {found[token, feature]} instead of "
                f"{wanted[token, feature]} ({len(wrong):,} of {wanted.size:,} values differ)"
            )
    return None


def report(results: Sequence[Result], prepared: Prepared, spec: PipelineSpec, simulator: str) -> None:
    """Prints what came out: similarities beside those of the float model, cycles, share of the limit, and the
    verdict."""
    console = Console(highlight=False, width=None if Console().is_terminal else 110)
    network, dsps = prepared.quantised.spec, spec.resources.dsp
    kind = "trained" if prepared.trained else "random"
    table = Table(title=f"{network.name}, {kind} weights, {simulator}")
    for heading in ("text", "tokens", "cosine to float", "cycles", "share of the limit", "ms at 300 MHz"):
        table.add_column(heading, justify="left" if heading == "text" else "right")
    for result in results:
        limit = network.layers * spec.layer_macs(result.tokens) / (2 * dsps)
        cosine = float(result.embedding @ result.float_embedding)
        shown = result.text if len(result.text) <= 44 else f"{result.text[:41]}..."
        table.add_row(
            shown, str(result.tokens), f"{cosine:.4f}", f"{result.cycles:,}", f"{limit / result.cycles:.1%}",
            f"{result.cycles / 300e3:.3f}",
        )  # fmt: skip
    console.print(table)
    if len(results) > 1:
        console.print(similarities(results))
    console.print(
        f"limit: multiplications over two for each of {dsps:,} DSP48E2; the arrays do {spec.macs:,} a cycle. "
        "A short text is bound by the latency of a layer."
    )
    wrong = [result for result in results if result.mismatch]
    for result in wrong:
        console.print(f"mismatch in {result.text[:40]!r}: {result.mismatch}")
    if not wrong:
        values = sum(result.tokens for result in results) * network.layers * network.hidden
        console.print(f"bit-exact: all {values:,} values that left a layer equal the integer reference's")


def similarities(results: Sequence[Result]) -> Table:
    """Cosines between the texts, from the accelerator's embeddings and from the float model's."""
    table = Table(title="similarity of the texts: accelerator (float model)")
    table.add_column("")
    for index in range(len(results)):
        table.add_column(str(index + 1), justify="right")
    for index, row in enumerate(results):
        cells = [
            f"{float(row.embedding @ other.embedding):+.3f} ({float(row.float_embedding @ other.float_embedding):+.3f})"
            for other in results
        ]
        table.add_row(str(index + 1), *cells)
    return table


def shown_steps(console: Console) -> Progress:
    """Progress on stderr; on what is no terminal, nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class step:
    """A step in the progress, with a line in a log where there is no terminal."""

    def __init__(self, steps: Progress, doing: str):
        self.steps, self.doing = steps, doing

    def __enter__(self) -> None:
        self.task = self.steps.add_task(self.doing, total=None)
        if self.steps.disable:
            click.echo(f"{self.doing} ...", err=True)

    def __exit__(self, *error: object) -> None:
        self.steps.remove_task(self.task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0 bit-exact, 1 a mismatch, 2 bad input."""
    return run_command(cli, "python -m sim", arguments)
