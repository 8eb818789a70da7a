"""bert-base at full size through Verilator: bit-exact, and where the cycles go. ``python -m bench.full_size [tokens
...]``."""

import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model import reference
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin
from hdl.model.prepare import prepare
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.emitter import Emitter
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

GOALS = {128: 0.65, 512: 0.80}
"""The least share of the limit, by tokens."""


def shares(spec: PipelineSpec, network: Network, tokens: int, cycles: int) -> dict[str, float]:
    """Where the cycles go, as shares of them; they add up to 1."""
    tiles, layers = -(-tokens // spec.rows), network.layers
    pace = max(spec.row_cycles, *spec.tile_cycles(tokens).values())
    limit = layers * network.layer_macs(tokens) / (2 * spec.resources.dsp)
    arrays = layers * network.layer_macs(tokens) / spec.macs
    steady = layers * tiles * pace
    return {
        "the limit: all DSPs multiply, two products each": limit / cycles,
        "DSPs outside the arrays": (arrays - limit) / cycles,
        "units that wait for the slowest, passes and tiles not filled": (steady - arrays) / cycles,
        "the first layer's keys, before any score": tiles * pace / cycles,
        "the barrier: a tile through the pipeline, each layer": (cycles - steady - tiles * pace) / cycles,
    }


def main() -> int:
    """Runs one text of each length, and prints the tables; 1 where a value differs or a goal is missed."""
    console = Console(highlight=False, width=110)
    lengths = [int(argument) for argument in sys.argv[1:]] or [128]
    network = load_model("bert-base")
    spec = plan(network, load_device("u280"))
    prepared = prepare(network, Origin.of("bert-base", random_weights=True))
    started = time.monotonic()
    sources = Emitter().emit(Pipeline(spec), "pipeline")
    emitted = time.monotonic()
    failed = False
    with Accelerator.verilated(spec, sources, build_image(prepared.quantised, spec)) as accelerator:
        built = time.monotonic()
        console.print(f"emitted in {emitted - started:.0f} s, built (or found) in {built - emitted:.0f} s")
        for tokens in lengths:
            ids = np.random.default_rng(1).integers(0, network.vocabulary, tokens).tolist()
            embedded = prepared.quantised.embed(ids)
            begun = time.monotonic()
            run = accelerator.run(embedded)
            simulated = time.monotonic()
            exact = np.array_equal(run.layers, np.stack(reference.run(prepared.quantised, embedded)))
            parts = shares(spec, network, tokens, run.cycles)
            table = Table(title=f"bert-base, {network.layers} layers, {tokens} tokens: {run.cycles:,} cycles")
            table.add_column("share of the cycles")
            table.add_column("", justify="right")
            for name, share in parts.items():
                table.add_row(name, f"{share:.1%}")
            console.print(table)
            reached = next(iter(parts.values()))
            console.print(
                f"{'bit-exact' if exact else 'NOT bit-exact'}; "
                f"{reached:.3f} of the limit (goal {GOALS.get(tokens, 0):.2f}); "
                f"{run.cycles / 300e3:.2f} ms at 300 MHz; {run.cycles / (simulated - begun):,.0f} cycles/s simulated"
            )
            failed |= not exact or reached < GOALS.get(tokens, 0)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
