"""Causal attention with its cache, three kernels in a row: prompts and single tokens of several layers, up to the last
position and from the start again, equal the attention of whole sequences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.kernels.parameters import ChannelParameters, ChannelWord, RowFactor
from hdl.kernels.scores import Scores, ScoresSpec
from hdl.kernels.softmax import Softmax, SoftmaxSpec
from hdl.kernels.weightedsum import WeightedSums, WeightedSumsSpec
from hdl.stream import connect, tile

from ..harness import run_streams
from .tensors import as_beats


@dataclass(frozen=True)
class Attention:
    """The three kernels' specs."""

    scores: ScoresSpec
    softmax: SoftmaxSpec
    sums: WeightedSumsSpec

    @classmethod
    def of(
        cls,
        *,
        rows: int,
        heads: int,
        head_size: int,
        max_length: int,
        layers: int,
        scores: tuple[int, int, int],
        sums: tuple[int, int, int],
    ) -> "Attention":
        """Of arrays with columns, cascades and lanes."""
        common = {
            "rows": rows,
            "heads": heads,
            "head_size": head_size,
            "max_length": max_length,
            "layers": layers,
            "lanes_stored": 2,
        }
        first = ScoresSpec(columns=scores[0], cascades=scores[1], lanes=scores[2], lanes_in=2, **common)
        last = WeightedSumsSpec(columns=sums[0], cascades=sums[1], lanes=sums[2], lanes_in=scores[2], **common)
        softmax = SoftmaxSpec(
            rows=rows,
            lanes=scores[2],
            heads=heads,
            max_length=max_length,
            score_bits=first.array.sum_bits,
            key_multiple=first.columns,
            value_multiple=last.depth,
            causal=True,
        )
        return cls(first, softmax, last)

    @property
    def hidden(self) -> int:
        """Features of a token."""
        return self.scores.heads * self.scores.head_size

    def reference(self, layer: "Layer") -> tuple[np.ndarray, np.ndarray]:
        """Sums [tokens, hidden] and mantissas of the factors [tokens, heads] of a whole sequence."""
        scores = self.scores.reference(layer.queries, layer.keys)
        numerators, factors = self.softmax.reference(scores, layer.scales)
        return self.sums.reference(numerators, layer.values), factors.mantissa.T


class CausalAttention(wiring.Component):
    """Scores, softmax, weighted sums."""

    def __init__(self, spec: Attention):
        self.spec = spec
        rows, scores, sums = spec.scores.rows, spec.scores, spec.sums
        byte = signed(8)
        super().__init__(
            {
                "score_order": In(stream.Signature(scores.banks.order)),
                "sum_order": In(stream.Signature(sums.banks.order)),
                "control": In(stream.Signature(spec.softmax.control)),
                "scales": In(stream.Signature(ChannelWord)),
                "keys": In(stream.Signature(tile(rows, scores.lanes_stored, byte))),
                "queries": In(stream.Signature(tile(rows, scores.lanes_in, byte))),
                "values": In(stream.Signature(tile(rows, sums.lanes_stored, byte))),
                "sums": Out(stream.Signature(tile(rows, sums.lanes, signed(sums.array.sum_bits)))),
                "factors": Out(stream.Signature(data.ArrayLayout(RowFactor, rows))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.scores = scores = Scores(self.spec.scores)
        m.submodules.softmax = softmax = Softmax(self.spec.softmax)
        m.submodules.weighted = weighted = WeightedSums(self.spec.sums)
        for source, sink in (
            (self.score_order, scores.order),
            (self.keys, scores.stored),
            (self.queries, scores.activations),
            (scores.sums, softmax.scores),
            (self.control, softmax.control),
            (self.scales, softmax.scales),
            (self.sum_order, weighted.order),
            (self.values, weighted.stored),
            (softmax.numerators, weighted.activations),
            (weighted.sums, self.sums),
            (softmax.factors, self.factors),
        ):
            connect(m, source, sink)
        return m


class Layer:
    """A layer's random keys, values and queries, int [tokens, hidden], and scales by head."""

    def __init__(self, spec: Attention, tokens: int, rng: np.random.Generator):
        self.keys, self.values, self.queries = rng.integers(-127, 128, (3, tokens, spec.hidden))
        heads = spec.scores.heads
        unused = np.zeros(heads)
        # The scores of a head of random features spread over a good part of the table.
        self.scales = ChannelParameters(
            factor=rng.integers(1 << 16, 1 << 17, heads), shift=rng.integers(26, 28, heads), bias=unused,
            column_sum=unused,
        )  # fmt: skip


def stimulus(spec: Attention, sequences: list[list[int]], seed: int) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    """Inputs; the sums [tiles, rows, hidden]; mantissas [tiles, rows, heads]; which rows [tiles, rows] are asked for.

    Each of the ``sequences`` lists the positions at which its runs end: the first run is a prompt from position 0, the
    others go on from where the one before ended. Rows of other tokens than the run's are random.
    """
    rng = np.random.default_rng(seed)
    rows = spec.scores.rows
    names = ("score_order", "sum_order", "control", "scales", "keys", "queries", "values")
    inputs: dict[str, list] = {name: [] for name in names}
    sums, mantissas, asked = [], [], []
    for ends in sequences:
        layers = [Layer(spec, ends[-1], rng) for _ in range(spec.scores.layers)]
        exact = [spec.reference(layer) for layer in layers]
        for first, end in zip([0, *ends], ends, strict=False):
            for index, layer in enumerate(layers):
                for place in range(first // rows, -(-end // rows)):
                    start, seen = place * rows, (place + 1) * rows
                    mask = np.array([first <= position < end for position in range(start, seen)])
                    common = {"layer": index, "tile": place, "rows": int(mask @ (1 << np.arange(rows)))}
                    passes, words = spec.scores.passes(seen), spec.sums.words(seen)
                    inputs["score_order"].append(common | {"passes": passes, "words": spec.scores.words})
                    inputs["sum_order"].append(common | {"passes": spec.sums.passes, "words": words})
                    inputs["control"].append({"tokens": seen, "tile": place})
                    inputs["scales"].append(layer.scales.words())
                    lanes = {"keys": 2, "queries": 2, "values": 2}
                    for name, width in lanes.items():
                        inputs[name].append(as_beats(rows_of(getattr(layer, name), start, mask, rng), rows, width))
                    for found, whole in zip((sums, mantissas), exact[index], strict=True):
                        found.append(rows_of(whole, start, mask, rng))
                    asked.append(mask)
    for name in ("scales", "keys", "queries", "values"):
        inputs[name] = np.concatenate(inputs[name])
    inputs["scales"] = vars(ChannelParameters.from_words(inputs["scales"]))
    return inputs, np.array(sums), np.array(mantissas), np.array(asked)


def rows_of(tensor: np.ndarray, start: int, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The masked rows from ``start`` of a tensor [tokens, features], the others random."""
    rows = rng.integers(-127, 128, (len(mask), tensor.shape[1]))
    positions = np.flatnonzero(mask)
    rows[positions] = tensor[start + positions]
    return rows


SPECS = {
    "one lane": Attention.of(rows=2, heads=2, head_size=16, max_length=24, layers=4, scores=(4, 1, 1), sums=(4, 1, 1)),
    "odd lanes, three tiles a pass, six a word": Attention.of(
        rows=4, heads=3, head_size=8, max_length=28, layers=4, scores=(12, 1, 3), sums=(8, 3, 2)
    ),
}


def sequences(spec: Attention) -> list[list[int]]:
    """A prompt, tokens, another turn from the middle of a tile, tokens up to the last position; then twice anew."""
    rows, last = spec.scores.rows, spec.scores.max_length
    turn = 3 * rows + 1
    return [
        [turn, turn + 1, turn + 2, last - rows - 1, *range(last - rows, last + 1)],
        [1, 2, 3, 4],
        [2 * rows, 2 * rows + 1],
    ]


@pytest.mark.parametrize(
    ("name", "simulator", "gaps"),
    [("one lane", "amaranth", 3), *((name, "verilator", gaps) for name in SPECS for gaps in (None, 5))],
)
def test_attention_equals_that_of_whole_sequences(name: str, simulator: str, gaps: int | None) -> None:
    spec = SPECS[name]
    # The longest sequence, to the last position, only in the faster simulator.
    chosen = sequences(spec)[1:] if simulator == "amaranth" else sequences(spec)
    inputs, sums, mantissas, asked = stimulus(spec, chosen, seed=1)
    rows, lanes = spec.scores.rows, spec.sums.lanes
    beats = {"sums": sums.size // (rows * lanes), "factors": mantissas.size // rows}
    result = run_streams(CausalAttention(spec), inputs, beats, gaps=gaps, simulator=simulator)
    found = result.outputs["sums"].reshape(len(asked), -1, rows, lanes).swapaxes(1, 2).reshape(sums.shape)
    np.testing.assert_array_equal(found[asked], sums[asked])
    factors = result.outputs["factors"]["mantissa"].reshape(len(asked), -1, rows).swapaxes(1, 2)
    np.testing.assert_array_equal(factors[asked], mantissas[asked])
