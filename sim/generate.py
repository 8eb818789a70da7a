"""Text out of the emitted Verilog: a decoder writes on from a prompt, every candidate checked against the reference."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.errors import InputError
from hdl.model.network import Network
from hdl.model.quantised import Quantised
from hdl.model.reference import Candidates, Decoder
from hdl.model.sample import Sampler, checked_prompt, generate
from hdl.perf.device import Device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.limits import run_limits
from sim.decoder import DecoderSimulation, SimulatedDecoderRun

__all__ = ["Generation", "Writer", "check_text", "report"]


@dataclass
class Generation:
    """What was generated: the ``prompt`` and the tokens drawn, a run for each of them, and where the first candidate
    was not the reference's."""

    prompt: Sequence[int]
    ids: list[int] = field(default_factory=list)
    runs: list[SimulatedDecoderRun] = field(default_factory=list)
    mismatch: str | None = None


class Writer:
    """Generates text with a decoder in a simulator, beside the integer reference."""

    def __init__(self, model: Quantised, simulation: DecoderSimulation, sampler: Sampler):
        self.model, self.simulation, self.sampler = model, simulation, sampler

    def write(self, prompt: Sequence[int], tokens: int, *, waves: Path | None = None) -> Iterator[Generation]:
        """Draws ``tokens`` tokens; yields what there is after each.

        Raises:
            InputError: see `check_text`.
        """
        check_text(prompt, tokens, self.model.network, self.simulation.spec)
        found = Generation(prompt)
        offer = self._offer(found, waves)
        drawn = generate(offer, prompt, tokens, self.sampler, self.model.network)

        def written() -> Iterator[Generation]:
            for token in drawn:
                found.ids.append(token)
                yield found

        return written()

    def _offer(self, found: Generation, waves: Path | None) -> Callable[[Sequence[int]], Candidates]:
        """Candidates from the simulator, compared with the reference's."""
        reference = Decoder(self.model)
        k = min(self.sampler.sampling.top_k, self.simulation.spec.largest)

        def offer(ids: Sequence[int]) -> Candidates:
            first = not found.runs
            run = self.simulation.run(ids, restart=first, k=k, waves=waves if first else None)
            found.runs.append(run)
            expected = reference.offer(ids, k)
            if found.mismatch is None:
                found.mismatch = first_mismatch(run.candidates, expected, len(found.ids))
            return run.candidates

        return offer


def check_text(prompt: Sequence[int], tokens: int, model: Network, spec: DecoderSpec) -> None:
    """Refuses what cannot be generated.

    Raises:
        InputError: see `checked_prompt`, and for more tokens than the decoder has positions for.
    """
    if (places := len(prompt) + tokens - 1) > spec.positions:
        raise InputError(f"prompt and tokens must take at most max-length {spec.positions} positions, not {places}")
    checked_prompt(prompt, tokens, model)


def first_mismatch(found: Candidates, expected: Candidates, step: int) -> str | None:
    """Where the first wrong candidate is, in words; None where all are right."""
    wrong = np.flatnonzero((found.ids != expected.ids) | (found.logits != expected.logits))
    if not len(wrong):
        return None
    at = wrong[0]
    return (
        f"step {step}, candidate {at}: token {found.ids[at]} with {found.logits[at]} instead of token "
        f"{expected.ids[at]} with {expected.logits[at]} ({len(wrong)} of {len(found.ids)} differ)"
    )


def report(found: Generation, network: Network, spec: DecoderSpec, device: Device, console: Console) -> None:
    """Prints the cycles of the prompt and of the tokens, their share of the limit, and the verdict."""
    table = Table(
        title=f"at {device.clock_mhz} MHz (an assumption); the limit is that of the whole {device.board}",
        title_justify="left",
    )
    for heading in ("", "tokens", "cycles each", "ms each", "share of the limit", "bound by", "bytes read"):
        table.add_column(heading, justify="left" if heading in ("", "bound by") else "right")
    phases = [("prompt", len(found.prompt), found.runs[:1]), ("token", 1, found.runs[1:])]
    for name, tokens, runs in phases:
        if runs:
            cycles = sum(run.cycles for run in runs) / len(runs)
            read = sum(use.read for run in runs for use in run.memory.values()) // len(runs)
            # The tokens' limit is that of the one in the middle.
            context = 0 if name == "prompt" else len(found.prompt) + len(runs) // 2
            limit = run_limits(network, device, spec.resources.dsp, tokens=tokens, context=context, read=read)
            table.add_row(
                name, str(tokens if name == "prompt" else len(runs)), f"{cycles:,.0f}",
                f"{cycles / device.clock_mhz / 1e3:.3f}", f"{limit.longest / cycles:.1%}", limit.bound, f"{read:,}",
            )  # fmt: skip
    console.print(table)
    if found.mismatch:
        console.print(f"mismatch: {found.mismatch}")
    else:
        count = sum(len(run.candidates.ids) for run in found.runs)
        console.print(f"bit-exact: all {count:,} candidates and their logits equal the integer reference's")
