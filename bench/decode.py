"""Decoding on the U280: a token's cycles and where they go, and the lengths at which others published theirs.
``python -m bench.decode``; ``--write`` puts the tables into docs/decoding.md."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import yaml
from rich.console import Console

from bench.paper import table, words
from hdl.channel import BEAT_BYTES
from hdl.model.network import Network
from hdl.model.spec import Gpt2Spec, load_model
from hdl.model.weightbits import WeightBits
from hdl.perf.builtdecoder import BuiltDecoderSpec
from hdl.perf.decodercycles import decoder_cycles
from hdl.perf.design import SpatialDesign
from hdl.perf.device import load_device
from hdl.perf.memorytiming import MemoryTiming
from hdl.perf.plan import plan

HERE, DOCUMENT = Path(__file__).parent, Path(__file__).parents[1] / "docs" / "decoding.md"

DEVICE = load_device("u280")
TIMING = MemoryTiming.of_device(DEVICE)

MODELS, BITS, CONTEXTS = ("gpt2", "gpt2-medium"), (8, 4), (128, 1000)
MORE = 24
"""Tokens that a design has room for behind a context."""

SYSTEMS = ("DFX", "Allo (the paper's design)", "StreamTensor", "CODO", "LoopLynx")
"""Those of bench/published.yaml that decode the same networks."""

INTRODUCTION = """\
# Decoding

Made by `python -m bench.decode --write`, for the Alveo U280 at 300 MHz, an assumption until a vendor tool has routed a
design. The designs are those that `emit` makes for the length, with keys and values on chip where they have room there.
Their cycles are counted (`hdl.perf.decodercycles`), with the timing of the device's memory;
[decodercycles.md](decodercycles.md) holds the counting to the emitted Verilog, of keys and values off chip in a small
design only.

## A token

The limit is all bytes of a token, weights, parameters, and keys and values that lie off chip, at the memory's peak of
460 GB/s. What is lost of it, as shares of a token's cycles: ports that bring no weights; channels that have fewer beats
than the slowest, and beats that are not full; refreshes; RAMs that each channel fills at one beat of int8 weights a
cycle, which matters where memory brings two in one; and the units, whose latencies stand one behind the other.
"""

PUBLISHED = """
## At the lengths of published designs

GPT-2 345M is gpt2-medium here. Published figures are as their sources give them, for their board and number format;
ours are for the U280 with 8-bit activations, weights of as many bits as theirs (8 where theirs are wider), random ones:
cycles do not depend on values. First token: the whole prompt. Tokens a second: one in the middle of the output.
"""

FOOTNOTE = """
(1) CODO's public decode kernel keeps no history of keys and values and has no head.

Of the paper's own design it is published that, for GPT-2 345M in W8A8 on the U280, it prefills 2.16 times as fast as
DFX and decodes 1.10 times as fast; at which lengths was not found.
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
        return Network.from_spec(self._model)

    @property
    def _model(self) -> Gpt2Spec:
        return load_model(self.model, Gpt2Spec)

    @cached_property
    def spec(self) -> BuiltDecoderSpec:
        """Its geometry, with keys and values on chip where they have room."""
        found = plan(self._model, DEVICE, max_length=self.max_length, weight_bits=WeightBits.of(self.weight_bits))
        assert isinstance(found, BuiltDecoderSpec)
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
        return decoder_cycles(self.spec, tokens, context, TIMING)

    def losses(self, context: int) -> list[float]:
        """Cycles of a token: the limit, and what is lost to ports, filling, refreshes, RAMs and units."""
        memory, design, spec = DEVICE.memory, self.design, self.spec
        data = design.decode(context).bytes
        # Parameters have a channel of their own, and keys and values that are off chip.
        own = data - spec.max_layers * BEAT_BYTES * spec.parameter_beats - spec.cache.bytes_read(context)
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


def published() -> Iterator[list[str]]:
    """Rows of the second table."""
    for row in yaml.safe_load((HERE / "published.yaml").read_text()):
        if row["system"] not in SYSTEMS:
            continue
        found = [row["system"], row["board"], row["work"], row["figure"]]
        if "ours" not in row:
            yield [*found, f"none: {row['none']}"]
            continue
        ours = row["ours"]
        prompt, output = ours["prompt"], ours["output"]
        one = Decoder(ours["model"], ours.get("weight_bits", 8), prompt + output)
        first, token = (milliseconds(one.cycles(*run)) for run in ((prompt, 0), (1, prompt + output // 2)))
        figures = f"first token {first:.2f} ms, {1e3 / token:,.0f} tokens/s"
        yield [*found, f"{figures} (W{one.weight_bits}A8, [{prompt}:{output}], {one.how})"]


def page() -> str:
    """The document."""
    losses = ("limit", "unused ports", "filling", "refresh", "RAMs", "units")
    headings = ["model and weights", "behind", "keys, values", "cycles", "ms", "tokens/s", *losses]
    systems = ["system", "board and format", "model [prompt:output]", "published", "ours"]
    return INTRODUCTION + "\n" + table(headings, list(tokens())) + "\n" + PUBLISHED + "\n" + words(
        systems, list(published())
    ) + "\n" + FOOTNOTE  # fmt: skip


def main() -> int:
    """Prints the page, and writes it where asked."""
    text = page()
    if "--write" in sys.argv[1:]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
    Console(highlight=False, width=160).print(text, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
