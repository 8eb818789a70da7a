"""Kernels in a simulation, through their AXI ports alone, under the driver: bit-exact, and their cycles beside those of
the bare designs. ``python -m bench.card [NAME]...``"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import spatial_llm
from rich.console import Console
from rich.table import Table
from spatial_llm.accelerator import Accelerator

from hdl.model import reference
from hdl.model.load import load_model
from hdl.model.origin import Origin
from hdl.model.prepare import Prepared, prepare
from hdl.model.reference import Decoder, best_candidates
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.memory_timing import MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles
from hdl.perf.schedule.encoder_schedule import counted_cycles
from hdl.top.kernel.image_file import write_image
from hdl.top.kernel.kernel_spec import KernelSpec
from sim.xrt import SimulatedXrt

MOST = 1.03
"""The most cycles of a kernel, for each cycle of the bare design."""

TEXTS = (
    "The lighthouse keeper wrote down the weather every evening, and in forty years he never missed a day.",
    "Interest rates were left unchanged on Thursday, although two members of the committee had voted for a cut.",
    "How do I replace the chain on a bicycle without any special tools?",
)
PROMPT, TOKENS, CANDIDATES = "And the king said unto", 32, 40


@dataclass
class Row:
    """A request: what it was, whether it was bit-exact, its cycles, and those of the bare design."""

    name: str
    exact: bool
    cycles: int
    bare: int

    @property
    def good(self) -> bool:
        """Whether it is as it must be."""
        return self.exact and self.cycles <= MOST * self.bare


@contextmanager
def driven(name: str, share: float) -> Iterator[tuple[KernelSpec, Prepared, Accelerator, MemoryTiming]]:
    """A built-in model's kernel on a part of the U280, with its memory's timing."""
    device, network = load_device("u280"), load_model(name)
    spec = KernelSpec(plan(network, device, share=share))
    prepared = prepare(network, Origin.of(name))
    timing = MemoryTiming.of_device(device)
    with TemporaryDirectory() as folder, SimulatedXrt(spec, timing=timing, threads=1) as xrt:
        image = Path(folder, "image")
        write_image(image, prepared.quantised, spec)
        with spatial_llm.load("simulated", image, xrt=xrt, patience=inf) as accelerator:
            yield spec, prepared, accelerator, timing


def encoder(name: str) -> Iterator[Row]:
    """Texts one by one and in a batch."""
    with driven(name, 0.15) as (spec, prepared, accelerator, _):
        model, layers = prepared.quantised, spec.pipeline.max_layers
        texts = [model.embed(prepared.tokens.of(text, spec.pipeline.positions)) for text in TEXTS]
        expected = [reference.run(model, text)[-1] for text in texts]
        accelerator.run(texts[:1])  # the first run sums the image
        for batch in ([0], [1], [2], [0, 1, 2]):
            found = accelerator.run([texts[number] for number in batch])
            exact = all(np.array_equal(one, expected[number]) for one, number in zip(found, batch, strict=True))
            bare = sum(counted_cycles(spec.pipeline, len(texts[number]), layers) for number in batch)
            tokens = " + ".join(str(len(texts[number])) for number in batch)
            yield Row(f"{name}, {tokens} tokens", exact, accelerator.counters()["cycles"], bare)


def decoder(name: str) -> Iterator[Row]:
    """A prompt and the tokens after it, in one run."""
    with driven(name, 0.1) as (spec, prepared, accelerator, timing):
        model, pipeline = prepared.quantised, spec.decoder
        prompt = prepared.tokens.of(PROMPT, pipeline.positions)
        list(accelerator.candidates(prompt, 1, 1))  # the first run sums the image
        step, following, exact = Decoder(model), prompt, True
        for found in accelerator.candidates(prompt, TOKENS, CANDIDATES):
            expected = best_candidates(step.prefill(following).logits[-1], CANDIDATES)
            exact &= np.array_equal(found.ids, expected.ids) and np.array_equal(found.logits, expected.logits)
            following = [int(expected.ids[0])]
        bare = counted_decoder_cycles(pipeline, len(prompt), 0, timing)
        bare += sum(counted_decoder_cycles(pipeline, 1, len(prompt) + i, timing) for i in range(TOKENS - 1))
        yield Row(f"{name}, prompt of {len(prompt)} and {TOKENS} tokens", exact, accelerator.counters()["cycles"], bare)


KERNELS: dict[str, Callable[[str], Iterator[Row]]] = {"minilm-l6": encoder, "tiny-gpt2": decoder}


def main(names: list[str]) -> int:
    """Prints the table; returns 1 if a row is not as it must be."""
    rows = [row for name in names or KERNELS for row in KERNELS[name](name)]
    table = Table(title="kernels through their AXI ports, memory with the U280's timing")
    for heading in ("request", "bit-exact", "cycles", "bare design", "ratio"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for row in rows:
        table.add_row(
            row.name, "yes" if row.exact else "NO", f"{row.cycles:,}", f"{row.bare:,}", f"{row.cycles / row.bare:.3f}"
        )
    Console(width=110).print(table)
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
