"""Units of full size: what Yosys maps them to, and in brackets what their specs say. ``python -m bench.units``.

The tests do the same for one unit of each kind; here are the other geometries. The bench fails where DSP, BRAM or URAM
differ, or LUT or FF by more than a fifth.
"""

import sys

from amaranth.lib import wiring
from rich.console import Console
from rich.table import Table

from hdl.kernels.embedding import Embedding, EmbeddingSpec
from hdl.kernels.layernorm import LayerNorm, LayerNormSpec
from hdl.kernels.linear import Linear, LinearSpec
from hdl.kernels.packedweights import PackedWeightsSpec, UnpackWeights
from hdl.kernels.scores import Scores, ScoresSpec
from hdl.kernels.shared import ProductShare
from hdl.kernels.weightedsum import WeightedSums, WeightedSumsSpec
from hdl.kernels.weights import WeightChannels
from hdl.resources import Resources
from hdl.top.emitter import Emitter
from sim.synthesis import rolled_up, synthesise

TOLERANCE = 0.2
ONE_LANE = {"lanes_in": 1, "lanes_stored": 1, "lanes": 1}
TWO_LANES = {"lanes_in": 2, "lanes_stored": 2, "lanes": 2}
BERT = {"rows": 4, "heads": 12, "head_size": 64, "max_length": 512}
GPT2 = {"rows": 4, "heads": 12, "head_size": 64, "max_length": 1024}
ARRAY = {"rows": 4, "channels": 1, "lanes_in": 1}

UNITS: dict[str, wiring.Component] = {
    "scores, an encoder's": Scores(ScoresSpec(columns=24, cascades=1, **TWO_LANES, **BERT)),
    "scores, an encoder's, one lane": Scores(ScoresSpec(columns=4, cascades=2, **ONE_LANE, **BERT)),
    "weighted sums, an encoder's": WeightedSums(WeightedSumsSpec(columns=8, cascades=3, **ONE_LANE, **BERT)),
    "scores with keys": Scores(ScoresSpec(columns=16, cascades=2, layers=12, **ONE_LANE, **GPT2)),
    "scores with loaded keys": Scores(
        ScoresSpec(columns=32, cascades=1, layers=2, channels=2, **TWO_LANES, **GPT2)
    ),
    "weighted sums with values": WeightedSums(
        WeightedSumsSpec(columns=16, cascades=1, layers=2, **TWO_LANES, **GPT2 | {"max_length": 256})
    ),
    "weighted sums with loaded values": WeightedSums(
        WeightedSumsSpec(columns=16, cascades=2, layers=2, channels=2, **TWO_LANES, **GPT2)
    ),
    "weighted sums with values, one lane": WeightedSums(
        WeightedSumsSpec(columns=4, cascades=3, layers=12, **ONE_LANE, **GPT2)
    ),
    "layer norm": LayerNorm(LayerNormSpec(rows=2, lanes=1, features=768)),
    "embedding": Embedding(
        EmbeddingSpec(rows=2, lanes=2, width=4, hidden=768, vocabulary=50257, positions=1024, latency_cycles=20)
    ),
    "packed weights of one cascade": UnpackWeights(
        PackedWeightsSpec(
            channels=WeightChannels(columns=8, cascades=1, channels=1, whole_columns=True), max_words=96,
            max_passes=524,
        )
    ),
    "linear, deep": Linear(
        LinearSpec(
            inputs=768, outputs=768, columns=8, cascades=4, lanes=1, ram_depth=4096, max_tiles=128, **ARRAY
        )
    ),
    "linear, deep, weights of 4 bits": Linear(
        LinearSpec(
            inputs=768, outputs=768, columns=8, cascades=4, lanes=1, ram_depth=4096, max_tiles=128, weight_bits=4,
            **ARRAY
        )
    ),
    "linear, shared products, blocks of eight words": Linear(
        LinearSpec(
            inputs=64, outputs=52, columns=13, cascades=1, lanes=1, ram_depth=4096, max_tiles=128, block=8,
            products=(ProductShare(inputs=128, outputs=110, first=0, stride=17),), **ARRAY | {"rows": 2, "lanes_in": 4}
        )
    ),
    "linear, wide": Linear(
        LinearSpec(
            inputs=384, outputs=1536, columns=16, cascades=1, lanes=2, ram_depth=4608, max_tiles=64, **ARRAY
        )
    ),
}  # fmt: skip


def agrees(estimate: Resources, found: Resources) -> bool:
    """Whether an estimate is near enough."""
    exact = (estimate.dsp, estimate.bram36, estimate.uram) == (found.dsp, found.bram36, found.uram)
    pairs = ((estimate.lut, found.lut), (estimate.ff, found.ff))
    return exact and all(abs(one / other - 1) <= TOLERANCE for one, other in pairs)


def main() -> int:
    """Prints the table; 1 where an estimate is wrong."""
    console = Console(highlight=False, width=140)
    emitter, tops = Emitter(), {f"unit_{index}": name for index, name in enumerate(UNITS)}
    emitter.emit_all(dict(zip(tops, UNITS.values(), strict=True)))
    with console.status("") as status:
        own = synthesise(emitter.modules, progress=lambda done: status.update(f"{done} modules mapped"))
    everything, failed = rolled_up(emitter.modules, own), False
    table = Table("unit", "DSP", "BRAM36", "URAM", "LUT", "FF", title="Yosys (spec)", title_justify="left")
    for top, name in tops.items():
        found, estimate = everything[top], UNITS[name].spec.resources
        table.add_row(name, *(f"{a:,g} ({b:,g})" for a, b in zip(found, estimate, strict=True)))
        failed |= not agrees(estimate, found)
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
