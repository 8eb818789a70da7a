"""Decoding on the U280: the cycles of a token and where they go, and a comparison with published designs.
``python -m bench.decode`` prints the page; ``--write`` writes docs/decoding.md and docs/decoding.svg."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure
from rich.console import Console

from bench.paper import table, words
from hdl.channel import BEAT_BYTES
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.weightbits import WeightBits
from hdl.perf.choice.built import plan
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import load_device
from hdl.perf.drawing import as_svg
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles

HERE, DOCUMENT = Path(__file__).parent, Path(__file__).parents[1] / "docs" / "decoding.md"
PICTURE = DOCUMENT.with_suffix(".svg")

DEVICE = load_device("u280")
TIMING = MemoryTiming.of_device(DEVICE)

MODELS, BITS, CONTEXTS = ("gpt2", "gpt2-medium"), (8, 4), (128, 1000)
MORE = 24
"""Tokens that a design has room for behind a context."""

SYSTEMS = ("DFX", "Allo (the paper's design)", "StreamTensor", "CODO", "LoopLynx")
"""Those of bench/published.yaml that decode the same networks."""

OURS, THEIRS = "#1f6fb2", "#9aa0a6"
"""Colours of the bars."""

INTRODUCTION = """\
# Decoding

`python -m bench.decode --write` writes this page. The device is the Alveo U280. The clock is 300 MHz, an assumption
until a vendor tool has routed a design. The designs are the ones that `emit` makes for the given length. Their keys
and values lie on chip where they fit. Cycles are counted (`hdl/perf`) with the timing of the device's
memory. The page [decodercycles.md](decodercycles.md) compares counted cycles with the emitted Verilog; for keys and
values off chip it does so with a small design only.

![time to the first token and tokens per second, ours and published](decoding.svg)

## Where the cycles of a token go

The limit is the time that the memory needs at its peak of 460 GB/s for all bytes of a token: weights, parameters,
and the keys and values that lie off chip. "Context" is the number of tokens before the token. The other columns are
shares of the token's cycles:

- limit: the limit itself.
- unused ports: ports of the memory that bring no weights.
- filling: some channels carry fewer beats than the slowest one, and some beats are not full.
- refresh: the memory refreshes itself.
- RAMs: a channel fills its RAMs at one beat of int8 weights per cycle. This matters where one beat of memory holds
  two.
- units: the latencies of the units, which follow one after the other.
"""

PUBLISHED = """
## At the lengths of published designs

GPT-2 345M is gpt2-medium here. [a:b] is a prompt of a tokens and b tokens of output. Published figures are those of
their sources, for their board and number format. Our figures are counted for the U280, with 8-bit activations and
with weights of the same number of bits as the published design (8 where theirs are wider). Cycles do not depend on
the values of the weights. "First token" is the time of the whole prompt. Tokens per second are those of a token in
the middle of the output.
"""

FOOTNOTE = """
(1) The public decode kernel of CODO keeps no history of keys and values, and has no head.

For the paper's own design, GPT-2 345M in W8A8 on the U280, the paper says: its prefill is 2.16 times as fast as
that of DFX, and its decoding 1.10 times as fast. The lengths were not found.
"""


@dataclass(frozen=True)
class Decoder:
    """A design for a model and a longest sequence."""

    model: str
    weight_bits: int
    max_length: int

    @cached_property
    def network(self) -> Network:
        """What it computes."""
        return load_model(self.model)

    @cached_property
    def spec(self) -> DecoderSpec:
        """Its geometry, with keys and values on chip where they have room."""
        found = plan(self.network, DEVICE, max_length=self.max_length, weight_bits=WeightBits.of(self.weight_bits))
        assert isinstance(found, DecoderSpec)
        return found

    @cached_property
    def design(self) -> SpatialDesign:
        """What estimates are made of."""
        return SpatialDesign(self.network, self.spec)

    @property
    def how(self) -> str:
        """Where its keys and values lie."""
        return "on chip" if self.spec.cache_on_chip else "off chip"

    def cycles(self, tokens: int, context: int) -> int:
        """Cycles of a prompt, or of a single token behind ``context`` others."""
        return counted_decoder_cycles(self.spec, tokens, context, TIMING)

    def losses(self, context: int) -> list[float]:
        """Cycles of a token: the limit, and what is lost to ports, filling, refreshes, RAMs and units."""
        memory, design, spec = DEVICE.memory, self.design, self.spec
        data = design.decode(context).bytes
        # Parameters have a channel of their own, and keys and values that are off chip.
        own = data - spec.max_layers * BEAT_BYTES * spec.sections["layer"].beats - spec.cache.bytes_read(context)
        limit, weights = (one / memory.bytes_a_cycle(DEVICE.clock_mhz) for one in (data, own))
        ports = weights * memory.ports / sum(spec.channels)
        filled = weights * memory.bandwidth_gb_s / design.bandwidth(memory)
        read = filled / memory.sustained
        ends = [limit, ports, filled, read, max(read, spec.token_load), self.cycles(1, context)]
        return [limit, *(end - before for before, end in pairwise(ends))]


def milliseconds(cycles: float) -> float:
    """Of so many cycles."""
    return cycles / DEVICE.clock_mhz / 1e3


def tokens() -> Iterator[list[str]]:
    """Rows of the first table."""
    for model in MODELS:
        for bits in BITS:
            for context in CONTEXTS:
                one = Decoder(model, bits, context + MORE)
                cycles, losses = one.cycles(1, context), one.losses(context)
                yield [
                    f"{model}, {bits} bits", f"{context:,}", one.how, f"{cycles:,.0f}", f"{milliseconds(cycles):.3f}",
                    f"{1e3 / milliseconds(cycles):,.0f}", *(f"{loss / cycles:.1%}" for loss in losses),
                ]  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """A published row, a mapping of bench/published.yaml, and our design for the same work."""

    row: dict[str, Any]

    @cached_property
    def decoder(self) -> Decoder:
        """Our design."""
        ours = self.row["ours"]
        return Decoder(ours["model"], ours.get("weight_bits", 8), ours["prompt"] + ours["output"])

    @cached_property
    def first_token_ms(self) -> float:
        """The time of the whole prompt, in milliseconds."""
        return milliseconds(self.decoder.cycles(self.row["ours"]["prompt"], 0))

    @cached_property
    def tokens_a_second(self) -> float:
        """The rate of a token in the middle of the output."""
        ours = self.row["ours"]
        return 1e3 / milliseconds(self.decoder.cycles(1, ours["prompt"] + ours["output"] // 2))


def comparisons() -> list[Comparison]:
    """The published rows of the same networks."""
    rows = yaml.safe_load((HERE / "published.yaml").read_text())
    return [Comparison(row) for row in rows if row["system"] in SYSTEMS]


def published(found: Iterable[Comparison]) -> Iterator[list[str]]:
    """Rows of the second table."""
    for one in found:
        row = one.row
        cells = [row["system"], row["board"], row["work"], row["figure"]]
        if "ours" not in row:
            yield [*cells, f"none: {row['none']}"]
            continue
        ours, decoder = row["ours"], one.decoder
        figures = f"first token {one.first_token_ms:.2f} ms, {one.tokens_a_second:,.0f} tokens/s"
        yield [*cells, f"{figures} (W{decoder.weight_bits}A8, [{ours['prompt']}:{ours['output']}], {decoder.how})"]


def picture(found: Iterable[Comparison]) -> str:
    """Both figures of the published designs that have both, and ours for the same work, as SVG."""
    bars: dict[str, tuple[float, float, bool]] = {}
    for one in found:
        row = one.row
        if "first_token_ms" in row:
            bars[f"{row['system']}\n{row['board']}"] = (row["first_token_ms"], row["tokens_a_second"], False)
            ours = f"this project\nU280, W{one.decoder.weight_bits}A8, counted"
            bars[ours] = (one.first_token_ms, one.tokens_a_second, True)
    ordered = sorted(bars.items(), key=lambda bar: (bar[1][2], -bar[1][0]))
    figure = Figure(figsize=(9.5, 0.55 * len(ordered) + 1.2), layout="constrained", facecolor="white")
    names = [name for name, _ in ordered][::-1]
    colours = [OURS if own else THEIRS for _, (_, _, own) in ordered][::-1]
    titles = ("time to the first token in ms (less is better)", "tokens per second (more is better)")
    for index, (panel, title) in enumerate(zip(figure.subplots(1, 2, sharey=True), titles, strict=True)):
        values = [bar[index] for _, bar in ordered][::-1]
        panel.bar_label(panel.barh(names, values, color=colours), fmt="%.4g", padding=3)
        panel.set_title(title, fontsize="medium")
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("GPT-2 345M, prompt of 32 and 32 tokens; our clock of 300 MHz is an assumption", fontsize="medium")
    return as_svg(figure, "decoding")


def page(found: Iterable[Comparison]) -> str:
    """The document."""
    losses = ("limit", "unused ports", "filling", "refresh", "RAMs", "units")
    headings = ["model and weights", "context", "keys, values", "cycles", "ms", "tokens/s", *losses]
    systems = ["system", "board and format", "model [prompt:output]", "published", "ours"]
    return INTRODUCTION + "\n" + table(headings, list(tokens())) + "\n" + PUBLISHED + "\n" + words(
        systems, list(published(found))
    ) + "\n" + FOOTNOTE  # fmt: skip


def main() -> int:
    """Prints the page; with ``--write`` also writes it and its picture."""
    found = comparisons()
    text = page(found)
    if "--write" in sys.argv[1:]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
        PICTURE.write_text(picture(found))
    Console(highlight=False, width=160).print(text, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
