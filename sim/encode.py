"""Texts through an encoder's emitted Verilog: every layer's output checked, and the embeddings compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hdl.model import floating, reference
from hdl.model.prepare import Prepared
from hdl.perf.device import Device
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.console import PLAIN_WIDTH
from sim.accelerator import Accelerator, AcceleratorRun

__all__ = ["Result", "checked", "report"]


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


def checked(
    prepared: Prepared, accelerator: Accelerator, text: str, ids: Sequence[int], waves: Path | None, steps: Progress
) -> Result:
    """Runs a text and compares all layers' outputs with the integer reference."""
    quantised = prepared.quantised
    tokens = quantised.embed(ids)
    total = len(tokens) * quantised.network.layers
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
        float_embedding=quantised.pooling.of(floating.encode(ids, prepared.weights)),
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


def report(results: Sequence[Result], prepared: Prepared, spec: PipelineSpec, device: Device, simulator: str) -> None:
    """Prints what came out: similarities beside those of the float model, cycles, share of the limit, and the
    verdict."""
    # Texts are shown as they are: brackets in them are no markup, nor is ``:smile:`` an emoji.
    console = Console(highlight=False, markup=False, emoji=False, width=None if Console().is_terminal else PLAIN_WIDTH)
    click.echo(prepared.told())
    click.echo(str(prepared.quantised.pooling))
    network, dsps = prepared.quantised.network, spec.resources.dsp
    kind = "trained" if prepared.trained else "random"
    table = Table(title=f"{network.name}, {kind} weights, {simulator}")
    time = f"ms at {device.clock_mhz} MHz"
    for heading in ("text", "tokens", "cosine to float", "cycles", "share of the limit", time):
        table.add_column(heading, justify="left" if heading == "text" else "right")
    for result in results:
        limit = network.layers * network.layer_macs(result.tokens) / (2 * dsps)
        similar = cosine(result.embedding, result.float_embedding)
        shown = result.text if len(result.text) <= 44 else f"{result.text[:41]}..."
        table.add_row(
            shown, str(result.tokens), f"{similar:.4f}", f"{result.cycles:,}", f"{limit / result.cycles:.1%}",
            f"{result.cycles / device.clock_mhz / 1e3:.3f}",
        )  # fmt: skip
    console.print(table)
    if len(results) > 1:
        console.print(similarities(results))
    console.print(
        f"limit: two multiplications per cycle on each of {dsps:,} DSP48E2; the arrays do {spec.macs:,} per cycle. "
        "For a short text the latency of a layer sets the time."
    )
    wrong = [result for result in results if result.mismatch]
    for result in wrong:
        console.print(f"mismatch in {result.text[:40]!r}: {result.mismatch}")
    if not wrong:
        values = sum(result.tokens for result in results) * network.layers * network.hidden
        console.print(f"bit-exact: all {values:,} values that left a layer equal the integer reference's")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine of two embeddings, which a model need not scale to length 1."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / max(lengths, float(np.finfo(np.float32).tiny))


def similarities(results: Sequence[Result]) -> Table:
    """Cosines between the texts, from the accelerator's embeddings and from the float model's."""
    table = Table(title="similarity of the texts: accelerator (float model)")
    table.add_column("")
    for index in range(len(results)):
        table.add_column(str(index + 1), justify="right")
    for index, row in enumerate(results):
        cells = [
            f"{cosine(row.embedding, other.embedding):+.3f} ({cosine(row.float_embedding, other.float_embedding):+.3f})"
            for other in results
        ]
        table.add_row(str(index + 1), *cells)
    return table
