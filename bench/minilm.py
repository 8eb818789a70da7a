"""all-MiniLM-L6 at full size through Verilator on 20 texts of 3 to over 100 tokens. ``python -m bench.minilm``."""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model import reference
from hdl.model.load import load_model
from hdl.model.origin import Origin
from hdl.model.prepare import prepare
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.top.emitter import Emitter
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

TEXTS = 20
SHORTEST = "Yes"
"""Three tokens, those of the beginning and the end included."""

SENTENCES = Path(__file__).with_name("sentences.txt")


def main() -> int:
    """Prints a line a text; 1 where a value differs."""
    network = load_model("minilm-l6")
    spec = plan(network, load_device("u280"))
    prepared = prepare(network, Origin.of("minilm-l6"))
    lines = [SHORTEST, *SENTENCES.read_text().splitlines()]
    texts = [prepared.tokens.of(text, spec.max_length) for text in lines if text.strip()]
    texts.sort(key=len)
    chosen = [texts[round(i * (len(texts) - 1) / (TEXTS - 1))] for i in range(TEXTS)]
    table = Table(title=f"minilm-l6, {spec.macs:,} MAC/cycle on {spec.resources.dsp:,} DSPs")
    for heading in ("tokens", "cycles", "share of the limit", "values of all layers"):
        table.add_column(heading, justify="right")
    image = build_image(prepared.quantised, spec)
    exact = 0
    with Accelerator.verilated(spec, Emitter().emit(Pipeline(spec), "pipeline"), image) as accelerator:
        for ids in chosen:
            tokens = prepared.quantised.embed(ids)
            run = accelerator.run(tokens)
            equal = np.array_equal(run.layers, np.stack(reference.run(prepared.quantised, tokens)))
            limit = network.layers * network.layer_macs(len(ids)) / (2 * spec.resources.dsp)
            exact += equal
            table.add_row(
                str(len(ids)), f"{run.cycles:,}", f"{limit / run.cycles:.1%}", "equal" if equal else "DIFFERENT"
            )
    console = Console(highlight=False, width=110)
    console.print(table)
    console.print(f"{exact} of {TEXTS} texts bit-exact")
    return int(exact != TEXTS)


if __name__ == "__main__":
    sys.exit(main())
