"""The cycles of a built decoder's run: a prompt, tile behind tile, or a token, one product behind the other.

As in `cycles`, when each tile leaves each unit follows from when it came; but a layer begins with a normalisation,
attention reaches each tile's own end and waits for no other, and the first tile of a layer comes out of the loop when
the layer before has left it. A single token's products, and every run's last, are computed by all arrays together
(`rounds`), whose weights come as memory gives them (`weightstream`). Time 0 is when the last id was taken.

How many of the head's last logits are still better than the best so far is up to them: none is counted.
"""

from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np

from ...model.architecture import Attention, Linear, Norm
from ..geometry.decoder_spec import DecoderSpec
from ..memory_timing import IDEAL, MemoryTiming
from .cache_loads import CacheLoads
from .encoder_schedule import EncoderSchedule, leave
from .memory_reader import FetchedParameters, MemoryReader
from .servers import BUFFER, LONG_AGO
from .shared_rounds import Rounds
from .weight_stream import WeightStream

__all__ = ["DecoderSchedule", "counted_decoder_cycles", "counted_run"]

Counted = TypeVar("Counted", bound="DecoderSchedule")

RUN_CYCLES = 3
"""From the last id to the run's orders: checked, begun, forked."""

ORDERS_AHEAD = 5
"""Products from the one whose sums are taken to the first whose order waits: in the queues of orders."""


HOST_CYCLES = 3
"""From the last candidate to the first id behind it, of a host that goes on at once."""


class DecoderSchedule(EncoderSchedule):
    """A run of ``tokens`` behind ``position`` others, with a memory of that ``timing``.

    With keys and values off chip: at once behind the run ``before``, whose cycles have been counted, or long after it.
    """

    spec: DecoderSpec

    def __init__(
        self, spec: DecoderSpec, tokens: int, position: int, timing: MemoryTiming, k: int = 1,
        before: "DecoderSchedule | None" = None,
    ):  # fmt: skip
        self.spec, self.tokens, self.position, self.k = spec, tokens, position, k
        first = position // spec.rows
        self.tiles = (position + tokens - 1) // spec.rows - first + 1
        self.shared = tokens == 1
        self.ids = np.minimum((first + 1 + np.arange(self.tiles)) * spec.rows - position, tokens)  # up to a tile's end
        self.keys = ((first + 1 + np.arange(self.tiles)) * spec.rows)[:, np.newaxis]
        self.timing = timing
        self.begins = RUN_CYCLES
        self.streams = {name: WeightStream(spec.linear(name), self.reader(name)) for name in spec.products}
        self.parameters: FetchedParameters = FetchedParameters(
            self.reader("parameters"), spec.sections["layer"].parameters, LONG_AGO, max_tiles=spec.max_tiles,
            tables={spec.table.name: spec.activation.entries}, width=spec.parameter_width,
        )  # fmt: skip
        self.rounds = Rounds(spec.sharing, spec.linear_units, [*self.streams.values()])
        self.products = [LONG_AGO] * ORDERS_AHEAD  # when the shared products ended
        self.loads = {name: CacheLoads(memory, timing, position) for name, memory in spec.memories.items()}
        if before is not None:
            for name, loads in self.loads.items():
                loads.behind(before.loads[name], before.ended + HOST_CYCLES + tokens - 1)
        self.there, self.servers, self.times = {}, {}, {}
        self.read = [np.full(spec.scores_unit.banks.ahead + 1, LONG_AGO)] * 2  # when the last tiles' keys, values were

    def reader(self, name: str) -> MemoryReader:
        """The readers of a unit's weights, or of the parameters; channels refresh in turn, as they do in simulation:
        see `MemoryTiming.first_cycle`. Which of them is how far when a run begins is not known; here, as after a
        reset."""
        spec = self.spec
        counts = dict(zip((*spec.products, "parameters"), (*spec.channels, 1), strict=True))
        before = sum(counts[other] for other in [*counts][: [*counts].index(name)])
        every = sum(counts.values()) + spec.cache_ports
        phases = np.unique([self.timing.first_cycle(before + i, every) for i in range(counts[name])])
        start = self.begins + 2 + spec.fetch.request_latency  # a run is forked to the readers' segments
        if name != "parameters":
            return MemoryReader(spec.fetch, self.timing, phases, start)
        # The embedding asks for rows at the same port.
        rows = spec.embedding
        share = 2 * rows.row_beats / rows.token_cycles / float(self.timing.rate)
        until = self.begins + int(self.ids[-1]) * rows.token_cycles
        return MemoryReader(spec.fetch, self.timing, phases, start + spec.arbiter.latency, share, until)

    def cycles(self) -> int:
        """Cycles from the last id to the best candidate."""
        ends = self.embedded()
        for _ in range(self.spec.max_layers):
            ends = self.layer(ends)
            left, ends = ends, ends + BUFFER + self.spec.loop.latency
        self.ended = self.head(int(left[-1]))
        return self.ended

    def embedded(self) -> np.ndarray:
        """When the last beat of each tile is there for the first layer: its tokens' rows come one behind the other,
        the first of them behind the parameters that fill their reader's FIFO."""
        spec, timing = self.spec.embedding, self.timing
        memory = timing.latency + timing.activation
        latency = spec.latency - spec.latency_cycles + memory + self.spec.arbiter.latency
        asked = self.begins + spec.ask_latency + self.spec.arbiter.latency
        late = max(0, self.parameters.reader.filled() + timing.activation - (asked + memory - 1))
        first = self.begins + latency + late + (self.ids - 1) * spec.token_cycles
        return first + self.spec.tile_beats - 1

    def layer(self, arrived: np.ndarray) -> np.ndarray:
        """When the last beat of each tile leaves a layer, of tiles whose last beats are there at these times."""
        return super().layer(self.serve("entry", self.spec.tile_beats, arrived))

    def linear(self, name: str, arrived: np.ndarray, parts: int = 1) -> np.ndarray:
        """Row quantiser, product and requantiser: when each of ``parts`` of each tile is out, [tiles, parts]."""
        rows = self.spec.row_quantise(name)
        self.parameters.taken(f"limit_{name}", int(arrived[-1]) + rows.maximum_stages + 1)
        ends = arrived + rows.latency + rows.beats - 1
        ends[0] = max(ends[0], self.there[f"limit_{name}"][0] + rows.latency - rows.maximum_stages + rows.beats - 2)
        quantised = self.serve(f"rows_{name}", rows.cycles(), ends) + self.spec.sharing.distribute_latency
        return self.together(name, quantised, parts) if self.shared else self.apart(name, quantised, parts)

    def apart(self, name: str, quantised: np.ndarray, parts: int) -> np.ndarray:
        """A prompt's: the unit's own product."""
        unit, weights = self.spec.linear(name), self.streams[name]
        array = unit.array
        ends = np.full((self.tiles, unit.passes), LONG_AGO)
        ends[:, 0] = quantised + unit.activation_latency
        ends[0] = np.maximum(ends[0], weights.words(0, unit.layer_words)[unit.words - 1 :: unit.words])
        self.until_read(name, ends.reshape(-1))
        passes = self.serve(name, array.pass_cycles(unit.words), self.until_left(name, ends))
        weights.let_go((passes[-1][:, np.newaxis] + np.arange(1 - unit.words, 1)).reshape(-1))
        beats = unit.outputs // unit.lanes
        sums = leave(array, passes, np.arange(beats // parts - 1, beats, beats // parts))
        return self.requantise(name, sums + self.spec.sharing.collect_latency)

    def together(self, name: str, quantised: np.ndarray, parts: int) -> np.ndarray:
        """A token's, or the head: all arrays' product."""
        spec = self.spec
        number = [*spec.shared_products].index(name)
        there = self.there[name]
        taken = self.rounds.product(number, int(quantised[-1]), there, self.ordered())
        self.products.append(int(taken[-1]))
        self.parameters.taken(name, int(taken[0]))
        beats = len(taken)
        return taken[np.newaxis, beats // parts - 1 :: beats // parts] + spec.requantise(name).latency

    def ordered(self) -> int:
        """When the next shared product's weights may be loaded: by order, in queues, where any are packed."""
        return self.products[-ORDERS_AHEAD] if self.spec.weight_bits.packed else LONG_AGO

    def attention(self, attention: Attention) -> np.ndarray:
        """When the last beat of each tile's context is out. A tile sees the keys up to its own end."""
        spec, keys = self.spec, self.keys
        scores, softmax, sums = spec.scores_unit, spec.softmax, spec.sums_unit
        queries = self.times[attention.queries]
        last_key, last_value = (self.times[tensor][:, [-1]] for tensor in (attention.keys, attention.values))

        stored = last_key + scores.latency(scores.words) - scores.array.latency
        ends = np.maximum(queries + scores.activation_latency, stored)
        if self.loads:
            ends = np.maximum(ends, self.loads["keys"].layer() + 1 + scores.words)
        there = self.passes("scores", scores.array, ends, -(-keys // scores.columns), scores.words)
        there[0] = np.maximum(there[0], self.there["scores"])
        beats = -(-keys // softmax.value_multiple) * (softmax.value_multiple // softmax.lanes)
        numerators = self.serve("softmax", beats, there + softmax.latency + beats - 1)
        self.parameters.taken("scores", int(numerators[-1, 0]))
        factors = self.serve("factors", softmax.factor_cycles, numerators + softmax.factor_latency)

        words = -(-keys // sums.depth)
        stored = last_value + words + sums.latency(0) - sums.array.latency
        ends = np.maximum(numerators + sums.activation_latency, stored)
        if self.loads:
            ends = np.maximum(ends, self.loads["values"].layer() + 1 + words)
        there = self.passes("sums", sums.array, ends, sums.passes, words)
        scored = numerators - softmax.latency - beats + 1 - scores.array.latency - scores.array.chain + 1
        summed = there[:, -1] - sums.array.latency - sums.array.chain + 1
        for name, new, read in zip(self.loads, (last_key, last_value), (scored[:, -1], summed), strict=False):
            self.loads[name].read(int(read[-1]))
            self.loads[name].stored(int(new[-1, 0]))
        if not self.shared:
            self.held_up(scored[:, -1], summed)
        group = spec.head_size // spec.lanes
        return self.requantise(attention.name, np.maximum(there, factors + BUFFER + group - 1))[:, -1]

    def held_up(self, scored: np.ndarray, summed: np.ndarray) -> None:
        """A tile's keys and values are stored once those of the tile `CacheSpec.ahead` of it have been read, at these
        times [tiles]. It matters between layers: attention takes longer from tile to tile and then little, but what
        it could not get ahead of itself it lacks there."""
        ahead = self.spec.scores_unit.banks.ahead
        self.read = [
            np.concatenate([old, new])[-ahead - 1 :] for old, new in zip(self.read, (scored, summed), strict=True)
        ]
        # The last tile's products end no earlier than they allow.
        for (product, before), times in zip(self.stored, self.read, strict=True):
            unit, server = self.spec.linear(product.name), self.servers[product.name]
            left = unit.passes * (product.outputs - before) // product.outputs
            waiting = max(left - self.waiting_passes(product), 0)
            server.last = max(server.last, int(times[0]) + waiting * unit.array.pass_cycles(unit.words))

    def until_read(self, name: str, ends: np.ndarray) -> None:
        """Lets the passes of a layer's first tiles, in the linear unit ``name``, wait until the last tiles' keys or
        values of the layer before have been read, if it gives these."""
        for (product, before), times in zip(self.stored, self.read, strict=True):
            if product.name != name:
                continue
            unit = self.spec.linear(name)
            first = unit.passes * before // product.outputs + self.waiting_passes(product)
            places = np.arange(len(times) - 1) * unit.passes + first
            kept = places < len(ends)
            ends[places[kept]] = np.maximum(ends[places[kept]], times[1:][kept] + unit.array.chain + unit.words)

    @cached_property
    def stored(self) -> tuple[tuple[Linear, int], ...]:
        """The linear operators that give the keys and the values, and their output channels before these."""
        attention, found = self.spec.attention, []
        for tensor in (attention.keys, attention.values):
            product = self.spec.layer.maker(tensor)
            assert isinstance(product, Linear), f"{tensor} must come from a linear operator"
            before = product.parts[: [*product.gives].index(tensor)]
            found.append((product, sum(part.features for part in before)))
        return tuple(found)

    def waiting_passes(self, product: Linear) -> int:
        """Passes of a product that find room where they wait: in the array, and in the buffers after it, which hold two
        beats for each part."""
        array, behind = self.spec.linear(product.name).array, self.spec.requantise(product.name).depth
        return array.passes_in_flight + (behind + 2 * len(product.parts)) // array.chain

    def head(self, left: int) -> int:
        """When the best candidate is out, of a run whose last beat leaves the last layer at this time."""
        spec = self.spec
        self.shared = True
        last = np.array([left + BUFFER])
        layers = self.parameters
        self.parameters = FetchedParameters(
            layers.reader,
            spec.sections["head"].parameters,
            layers.next,
            max_tiles=1,
            tables={},
            width=spec.parameter_width,
        )
        self.there = self.parameters.layer()
        best = spec.candidates
        (norm,) = spec.head.of(Norm)
        logits = self.linear(spec.head_product.name, self.normed(norm.name, last), best.beats)
        return int(self.serve("candidates", best.beat_cycles(self.k), logits)[0, -1]) + best.latency(0) + self.k - 1


@lru_cache(maxsize=1 << 10)
def counted_decoder_cycles(
    spec: DecoderSpec, tokens: int, position: int, timing: MemoryTiming = IDEAL, k: int = 1
) -> int:
    """Cycles of a run, from the last id in to the ``k``-th candidate out.

    Raises:
        ValueError: as `counted_run`.
    """
    return counted_run(DecoderSchedule, spec, tokens, position, timing, k).ended


def counted_run(
    kind: type[Counted], spec: DecoderSpec, tokens: int, position: int, timing: MemoryTiming, k: int = 1
) -> Counted:
    """A run, counted, of the kind `DecoderSchedule` or of one that watches it.

    Raises:
        ValueError: for no tokens, and for more than there are positions.
    """
    if tokens < 1 or position < 0 or position + tokens > spec.positions:
        raise ValueError(
            f"run must be of 1 token or more within {spec.positions} positions, not {tokens} from {position}"
        )
    before = None
    if spec.memories and position:
        before = DecoderSchedule(spec, 1, position - 1, timing)
        before.cycles()
    run = kind(spec, tokens, position, timing, k, before)
    run.cycles()
    return run
