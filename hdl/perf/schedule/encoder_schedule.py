"""The cycles of a run: when each tile leaves each unit, layer by layer, out of the kernels' latencies and cycles.

A pipeline is a flow shop: a unit takes its work in order, a piece as soon as it is there and the one before is done. So
when a layer's pieces are done follows in one running maximum (`Server.ends`) from when they were there: a numpy
array for each unit and layer. A piece is what the next unit must have whole: a tile for row quantisers and layer
norms, a pass of an array, a head for softmax and the weighted sums. What streams adds its latency, and a beat a cycle.

Beside its tokens a layer waits for its last key and value; for its weights, of which memory delivers a word for each
RAM every few cycles; and for its parameters, which share one channel. Those two decide in short sequences: they come
from the run's beginning on, as fast as room is made by the layers before.

FIFOs of tokens are taken to be deep enough never to hold anything up; their depths are chosen so.

After some layers every layer ends as much later than the one before it as that did. Once all that a run remembers has
moved on by one number of cycles, so does everything that follows: the other layers are not followed, but counted.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ...kernels.arrayspec import ArraySpec
from ...kernels.linear import LinearSpec
from ...kernels.residual import ResidualSpec
from ...model.architecture import Add, Attention, Graph, Linear, Norm, Operator, Table
from ...serial import divide_latency
from ...stream import BUFFER_DEPTH
from ..geometry.pipeline_spec import PipelineSpec
from .servers import BUFFER, LONG_AGO, ParameterServer, Server

__all__ = ["EncoderSchedule", "counted_cycles", "counted_layer_cycles"]


ORDER_CYCLES = 6
"""From the quotients of a run's tokens to the order of the entry: two registers, and four buffers."""


class WeightArrivals:
    """The RAMs of a linear unit: words arrive as those of the layers before are let go, in their last tiles."""

    def __init__(self, unit: LinearSpec, start: int):
        self.unit, self.channel = unit, Server(start - 1)
        self.free = np.full(2 * unit.layer_words, LONG_AGO)  # when the places of the last two layers' words became free

    def layer(self) -> np.ndarray:
        """When each word of the next layer can enter the array."""
        words = self.unit.layer_words
        # A RAM holds one layer and more: a word takes the place of the one that came `ram_depth` words before it.
        room = self.free[2 * words - self.unit.ram_depth :][:words]
        beats = self.unit.loader.block_beats
        return self.channel.ends(room + beats, beats) + self.unit.weight_latency

    def read(self, passes: np.ndarray) -> None:
        """A layer's last tile is read in passes that end at these times."""
        gone = passes[:, np.newaxis] + np.arange(1 - self.unit.words, 1) + self.unit.release_latency
        self.free = np.concatenate([self.free[-gone.size :], gone.reshape(-1)])


class EncoderSchedule:
    """A run of ``tokens`` through a pipeline, layer after layer."""

    def __init__(self, spec: PipelineSpec, tokens: int):
        self.spec, self.tokens, self.tiles = spec, tokens, -(-tokens // spec.rows)
        # Memory delivers from the beginning; tokens are taken when control has divided them into tiles.
        start = -(divide_latency(spec.max_tiles.bit_length()) + ORDER_CYCLES)
        self.weights = {name: WeightArrivals(spec.linear(name), start) for name in spec.products}
        self.parameters = ParameterServer(
            spec.sections["layer"].parameters,
            start,
            max_tiles=spec.max_tiles,
            tables={spec.table.name: spec.activation.entries},
        )
        self.there: dict[str, np.ndarray] = {}  # the parameters of the layer
        self.servers: dict[str, Server] = {}
        self.times: dict[str, np.ndarray] = {}  # when tensors of the layer are there

    def serve(self, name: str, cycles: int | np.ndarray, earliest: np.ndarray) -> np.ndarray:
        """When pieces end in the unit ``name``, that take so many cycles each, or such numbers of them."""
        return self.servers.setdefault(name, Server()).ends(earliest, cycles)

    @property
    def state(self) -> np.ndarray:
        """All times that the next layers depend on."""
        weights = [part for one in self.weights.values() for part in (one.free, [one.channel.last])]
        servers = [server.last for server in self.servers.values()]
        return np.concatenate([*weights, servers, list(self.parameters.state)])

    def follow(self, layers: int) -> Iterator[np.ndarray]:
        """When the last beat of each tile leaves the first layer, the second, and so on."""
        ends = np.arange(1, self.tiles + 1) * self.spec.tile_beats - 1
        for _ in range(layers):
            ends = self.layer(ends) + BUFFER
            yield ends

    def layer(self, arrived: np.ndarray) -> np.ndarray:
        """When the last beat of each tile leaves a layer, of tiles whose last beats enter it at these times."""
        self.there = self.parameters.layer()
        graph = self.spec.layer
        return self.walk(graph, arrived + BUFFER)[graph.output]  # through the entry

    def walk(self, graph: Graph, arrived: np.ndarray) -> dict[str, np.ndarray]:
        """When the last beat of each tile of a graph's tensors is there for their readers [tiles], or of each head's
        part of it [tiles, heads]."""
        self.times = {graph.input: arrived + self.forked(graph, graph.input)}
        for operator in graph:
            found = self.operators[type(operator)](operator)
            of_tensors = zip(operator.gives, found if isinstance(found, list) else [found], strict=True)
            self.times |= {tensor: times + self.forked(graph, tensor) for tensor, times in of_tensors}
        return self.times

    @staticmethod
    def forked(graph: Graph, tensor: str) -> int:
        """Cycles that a tensor's way to several readers takes."""
        return BUFFER if len(graph.readers(tensor)) > 1 else 0

    @property
    def operators(self) -> dict[type[Operator], Callable[..., Any]]:
        """How each kind of operator is counted: its name, and when it has read, to when its results are out."""
        return {
            Linear: self.product,
            Attention: self.attention,
            Table: self.activation,
            Add: self.added,
            Norm: lambda norm: self.normed(norm.name, self.times[norm.source]),
        }

    def product(self, product: Linear) -> list[np.ndarray]:
        """When each part of a product is out: for attention head by head, in streams of their own."""
        name, parts = product.name, [part.features for part in product.parts]
        graph, attention = self.spec.layer, self.spec.attention
        if product.parts[0].name not in attention.reads:
            if isinstance(table := (*graph.readers(product.parts[0].name), None)[0], Table):
                self.until_activated(name, table)
            return [self.linear(name, self.times[product.source])[:, -1]]
        heads = [features // attention.head_size for features in parts]
        found = self.linear(name, self.times[product.source], sum(heads)) + BUFFER
        return np.split(found, np.cumsum(heads)[:-1], axis=1)

    def linear(self, name: str, arrived: np.ndarray, parts: int = 1) -> np.ndarray:
        """Row quantiser, linear unit and requantiser: when each of ``parts`` of each tile is out, [tiles, parts]."""
        rows, weights = self.spec.row_quantise(name), self.weights[name]
        unit, array = weights.unit, weights.unit.array
        self.parameters.taken(f"limit_{name}", int(arrived[-1]) + rows.maximum_stages + 1)
        quantised = self.serve(f"rows_{name}", rows.cycles(), arrived + rows.latency + rows.beats - 1)
        ends = np.full((self.tiles, unit.passes), LONG_AGO)
        ends[:, 0] = quantised + unit.activation_latency
        ends[0] = np.maximum(ends[0], weights.layer()[unit.words - 1 :: unit.words])
        passes = self.serve(name, array.pass_cycles(unit.words), self.until_left(name, ends))
        weights.read(passes[-1])
        beats = unit.outputs // unit.lanes
        return self.requantise(name, leave(array, passes, np.arange(beats // parts - 1, beats, beats // parts)))

    def until_left(self, name: str, ends: np.ndarray) -> np.ndarray:
        """The ends of passes [tiles, passes], where those of the first two tiles wait for room in the array's FIFO: the
        first tile's sums wait there for their parameters, the second tile's for these sums. The requantiser's buffer
        takes a beat of sums in the cycle after it has used the one `BUFFER_DEPTH` before."""
        unit, array, there = self.spec.linear(name), self.spec.linear(name).array, self.there[name]
        used = np.concatenate([[LONG_AGO] * BUFFER_DEPTH, there, there[-1] + np.arange(1, len(there) + 1)]) + BUFFER
        left = used[: 2 * len(there)][array.chain - 1 :: array.chain] + 1
        waiting = ends.reshape(-1)[array.passes_in_flight : len(left)]
        np.maximum(waiting, left[: len(waiting)] + unit.words, out=waiting)
        return ends

    def requantise(self, name: str, sums: np.ndarray) -> np.ndarray:
        """When parts of tiles are requantised whose last sums are there at these times, [tiles, parts]."""
        unit = self.spec.requantise(name)
        beats = unit.cycles() // sums.shape[1]
        sums[0] = np.maximum(sums[0], self.there[name][beats - 1 :: beats])
        taken = self.serve(f"requantise_{name}", beats, sums)
        self.parameters.taken(name, int(taken[-1, 0]) - beats + 1)
        return taken + unit.latency

    def attention(self, attention: Attention) -> np.ndarray:
        """When the last beat of each tile's context is out. No score is computed before the last key is stored."""
        spec = self.spec
        scores, softmax, sums = spec.scores_unit, spec.softmax, spec.sums_unit
        queries = self.times[attention.queries]
        last_key, last_value = (self.times[tensor][-1, -1] for tensor in (attention.keys, attention.values))

        stored = last_key + scores.latency(scores.words) - scores.array.latency
        passes = scores.passes(self.tokens)
        ends = np.maximum(queries + scores.activation_latency, stored)
        there = self.passes("scores", scores.array, ends, passes, scores.words)
        there[0] = np.maximum(there[0], self.there["scores"])
        beats = softmax.beats_out(self.tokens)
        numerators = self.serve("softmax", beats, there + softmax.latency + beats - 1)
        self.parameters.taken("scores", int(numerators[-1, 0]))
        factors = self.serve("factors", softmax.factor_cycles, numerators + softmax.factor_latency)

        words = sums.words(self.tokens)
        stored = last_value + sums.latency(words) - sums.array.latency
        ends = np.maximum(numerators + sums.activation_latency, stored)
        there = self.passes("sums", sums.array, ends, sums.passes, words)
        beats = spec.head_size // spec.lanes
        return self.requantise(attention.name, np.maximum(there, factors + BUFFER + beats - 1))[:, -1]

    def passes(
        self, name: str, array: ArraySpec, first: np.ndarray, passes: int | np.ndarray, words: int | np.ndarray
    ) -> np.ndarray:
        """When the last sums of each head leave an array, heads of ``passes`` whose first could end at ``first``;
        passes or their words may differ from tile to tile, [tiles, 1]."""
        cycles = np.maximum(words, array.chain)
        ends = self.serve(name, passes * cycles, first + (passes - 1) * cycles)
        return ends + array.latency + array.chain - 1

    def until_activated(self, name: str, table: Table) -> None:
        """Lets the sums of a product wait for the table after it: until that is there, the requantiser uses as many as
        it and the buffer after it can hold."""
        held = self.spec.requantise(name).in_flight + BUFFER_DEPTH
        there = self.there[table.name][0] + np.arange(self.spec.activation.cycles())
        self.there[name][held:] = np.maximum(self.there[name][held:], there[:-held] + 2 * BUFFER)

    def activation(self, table: Table) -> np.ndarray:
        """When the last beat of each tile is activated."""
        unit, name, values = self.spec.activation, table.name, self.times[table.source].copy()
        values[0] = max(values[0], self.there[name][0] + unit.cycles() - 1)
        taken = self.serve(name, unit.cycles(), values)
        self.parameters.taken(name, int(taken[-1]))
        return taken + unit.latency

    def normed(self, name: str, arrived: np.ndarray) -> np.ndarray:
        """When the last beat of each tile is normalised, of tiles whose last beats arrive at these times."""
        norm, arrived = self.spec.norm, arrived.copy()
        arrived[0] = max(arrived[0], self.there[f"epsilon_{name}"][0])
        ends = self.serve(f"sums_{name}", norm.cycles(), arrived) + norm.latency + norm.beats - 1
        self.parameters.taken(f"epsilon_{name}", int(ends[-1]) - norm.latency - norm.beats + 1)
        ends[0] = max(ends[0], self.there[name][-1] + norm.channels_latency)
        left = self.serve(name, norm.cycles(), ends)
        self.parameters.taken(name, int(left[-1]) - norm.beats + 1)
        return left

    def added(self, add: Add) -> np.ndarray:
        """When the last beat of each tile's sum is out."""
        return self.residual(add.name, self.spec.residual(add.name), self.times[add.branch])

    def residual(self, name: str, adder: ResidualSpec, branch: np.ndarray) -> np.ndarray:
        """When each tile's last beat is added, its branch there at these times."""
        beats = self.spec.tile_beats
        branch[0] = max(branch[0], self.there[name][-1])
        added = self.serve(name, adder.cycles(beats), branch)
        self.parameters.taken(name, int(added[-1]) - beats + 1)
        return added + adder.latency


def leave(array: ArraySpec, passes: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """When these beats of each tile leave an array, its passes [tiles, passes] ending at such times."""
    return passes[:, beats // array.chain] + array.latency + beats % array.chain


# Choices of a geometry for several devices try much the same ones.
@lru_cache(maxsize=1 << 12)
def counted_cycles(spec: PipelineSpec, tokens: int, layers: int) -> int:
    """Cycles from the first beat of tokens to the last beat of the last layer's outputs, both counted."""
    run, known = EncoderSchedule(spec, tokens), np.zeros(0)
    for layer, ends in enumerate(run.follow(layers), start=1):
        before, known = known, np.concatenate([run.state, ends])
        if known.size == before.size and (known - before).min() == (known - before).max():
            return int(ends[-1] + (layers - layer) * (known - before)[0]) + 1
    return int(ends[-1]) + 1


def counted_layer_cycles(spec: PipelineSpec, tokens: int) -> int:
    """Cycles that a layer more takes."""
    return counted_cycles(spec, tokens, 2) - counted_cycles(spec, tokens, 1)
