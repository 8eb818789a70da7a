"""The decoder's pipeline: one layer in hardware, its output fed back, and the head behind the last layer.

ids -> embedding -> norm -> rows -> QKV -> scores -> softmax -> sums -> rows -> projection -> (+) -+
             ^                      K, V into the cache                                            |
             +-- (+) <- FFN2 <- rows <- activation <- FFN1 <- rows <- norm <-----------------------+
                  |
                  +--> norm -> rows -> head -> best candidates

Prompts go through it spatially: each linear unit works on its own product, tile behind tile. For a single token, and
for the head, the four arrays share each product's columns (`Distribute`, `Collect`).
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...channel import CHANNEL_BITS, Request, Written
from ...kernels.activation import Activation
from ...kernels.embedding import Embedding
from ...kernels.fetch import Fetch
from ...kernels.layernorm import LayerNorm
from ...kernels.linear import Linear
from ...kernels.readarbiter import ReadArbiter
from ...kernels.requantise import Requantise
from ...kernels.residual import ResidualAdd
from ...kernels.rowquantise import RowQuantise
from ...kernels.sharing import Collect, Distribute
from ...kernels.topk import TopK
from ...perf.builtdecoder import BuiltDecoderSpec
from ...perf.spec import LINEAR_UNITS
from ...stream import Fork, StreamBuffer, connect, tile
from ..attention import attend
from ..composition import Composition
from ..parameters import Parameters
from ..pipeline import Entry
from .ends import Leave, Loop
from .feed import Sections, Segments
from .layers import LayerOrders, ProductOrders, TileOrders
from .memories import attach, memories
from .orders import Command, LayerOrder, Run, Status, TileOrder
from .sequencer import Sequencer

__all__ = ["DecoderPipeline"]


class DecoderPipeline(wiring.Component):
    """The whole decoder but its memory: commands and token ids come in, the best candidates go out.

    Members: ``commands``, ``ids`` (streams from the host), ``results`` (stream of candidates, best first, ``k`` of
    them a command), ``status`` (stream, one a command, behind its results), ``outputs`` (tile stream of int16: with
    ``trace`` every layer's); for each memory channel, ``parameters`` (the tables of the embedding, too) and
    ``weights_UNIT[i]``, ``NAME_requests`` (stream of `Request`) and ``NAME_data`` (512-bit beats). Where keys and
    values lie off chip, also for ``keys`` and ``values``, arrays of channels, and with ``NAME_writes`` (stream of
    `Request`), ``NAME_written`` (stream of `Written`) and ``NAME_acknowledged`` (a beat for each write held).
    """

    def __init__(self, spec: BuiltDecoderSpec):
        self.spec = spec
        members: dict[str, Any] = {
            "commands": In(stream.Signature(Command(spec))),
            "ids": In(stream.Signature(range(spec.vocabulary))),
            "results": Out(stream.Signature(spec.candidates.result)),
            "status": Out(stream.Signature(Status(spec))),
            "outputs": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(16)))),
        }
        requests, beats = Out(stream.Signature(Request)), In(stream.Signature(unsigned(CHANNEL_BITS)))
        members |= {"parameters_requests": requests, "parameters_data": beats}
        for unit in LINEAR_UNITS:
            channels = spec.linear(unit).channels
            members[f"weights_{unit}_requests"] = requests.array(channels)
            members[f"weights_{unit}_data"] = beats.array(channels)
        writing = {
            "requests": requests,
            "data": beats,
            "writes": requests,
            "written": Out(stream.Signature(Written)),
            "acknowledged": In(stream.Signature(1)),
        }
        for name, memory in spec.memories.items():
            members |= {f"{name}_{role}": member.array(memory.channels) for role, member in writing.items()}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        return _Composition(self, platform).m


LAYER_READERS = ("entry", "leave", "tiles", "products", "activation", "parameters")
"""What takes an order a layer."""

TILE_READERS = ("scores", "sums", "softmax")
"""What takes an order a tile, besides storers of keys and values."""


class _Composition(Composition):
    """Builds the module of a decoder: places each kernel and connects it to what comes before."""

    def __init__(self, pipeline: DecoderPipeline, platform: Any):
        super().__init__(platform)
        self.pipeline, self.spec = pipeline, pipeline.spec
        m, spec = self.m, self.spec
        self.memories = memories(self, spec)
        self.control()
        self.share()
        embedding = self.add("embedding", Embedding(spec.embedding))
        arbiter = self.add("arbiter", ReadArbiter(spec.arbiter))
        connect(m, embedding.requests, arbiter.asked[0])
        connect(m, arbiter.found[0], embedding.data)
        connect(m, arbiter.requests, pipeline.parameters_requests)
        connect(m, pipeline.parameters_data, arbiter.response)
        self.feed_parameters(arbiter.asked[1], arbiter.found[1])
        entry = self.add("entry", Entry(spec, LayerOrder(spec)))
        leave, loop = self.add("leave", Leave(spec)), self.add("loop", Loop(spec))
        self.order("embedding", embedding.order, "position", "tokens")
        self.order("entry", entry.order, *LayerOrder(spec).members)
        self.order("leave", leave.order, *LayerOrder(spec).members)
        connect(m, self.sequencer.tokens, embedding.ids)
        connect(m, embedding.tokens, entry.outside)
        connect(m, leave.feedback, loop.input)
        connect(m, loop.output, entry.feedback)
        connect(m, leave.outside, pipeline.outputs)
        m.d.comb += self.sequencer.left.eq(leave.left)
        attended = self.residual(1, entry.output, self.attention)
        connect(m, self.residual(2, attended, self.feed_forward), leave.input)
        self.head(leave.final)

    def control(self) -> None:
        """The sequencer, and the orders that follow from a run."""
        m, spec, pipeline = self.m, self.spec, self.pipeline
        self.sequencer = sequencer = self.add("sequencer", Sequencer(spec))
        connect(m, pipeline.commands, sequencer.commands)
        connect(m, pipeline.ids, sequencer.ids)
        connect(m, sequencer.status, pipeline.status)
        run_readers: tuple[str, ...] = ("layers", "embedding", "candidates", "final", "segments_parameters")
        run_readers += tuple(f"segments_{name}" for name in LINEAR_UNITS)
        run_readers += tuple(f"ahead_{name}" for name in self.memories)
        self.orders = self.forked("runs", Run(spec), run_readers, sequencer.runs)
        layers = self.add("layers", LayerOrders(spec))
        tiles, products = self.add("tiles", TileOrders(spec)), self.add("products", ProductOrders(spec))
        connect(m, self.orders["layers"], layers.runs)
        tile_readers = (*TILE_READERS, *(f"store_{name}" for name in self.memories))
        self.orders |= self.forked("layer_orders", LayerOrder(spec), LAYER_READERS, layers.orders)
        connect(m, self.orders["tiles"], tiles.layers)
        connect(m, self.orders["products"], products.layers)
        self.orders |= self.forked("tile_orders", TileOrder(spec), tile_readers, tiles.orders)
        self.orders |= self.forked("linear_orders", products.orders.payload.shape(), LINEAR_UNITS, products.orders)
        shared = products.shared.payload.shape()
        self.orders |= self.forked("shared_orders", shared, ("distribute", "collect"), products.shared)

    def forked(self, name: str, shape: Any, readers: Sequence[Any], source: Any) -> dict[Any, Any]:
        """``source`` for several readers, by their names."""
        fork = self.add(name, Fork(shape, len(readers)))
        connect(self.m, source, fork.input)
        return dict(zip(readers, fork.outputs, strict=True))

    def fetched(self, name: str, requests: list[Any], answers: list[Any]) -> list[Any]:
        """The data of memory channels whose segments are the same."""
        m, spec = self.m, self.spec
        segments = self.add(f"segments_{name}", Segments(spec.fetch, *spec.segments(name)))
        self.order(f"segments_{name}", segments.runs, "shared")
        orders = self.forked(f"segment_orders_{name}", spec.fetch.order, range(len(requests)), segments.segments)
        found = []
        for i, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            fetch = self.add(f"fetch_{name}_{i}", Fetch(spec.fetch))
            connect(m, orders[i], fetch.order)
            connect(m, fetch.requests, request)
            connect(m, answer, fetch.response)
            found.append(fetch.data)
        return found

    def feed_parameters(self, requests: Any, answer: Any) -> None:
        """The parameters of the layers, and those behind the last."""
        m, spec = self.m, self.spec
        (data,) = self.fetched("parameters", [requests], [answer])
        sections = self.add("sections", Sections((spec.max_layers * spec.parameter_beats, spec.final_beats)))
        layer = self.add("parameters", Parameters(spec.parameters, spec.max_tiles, spec.lanes))
        final = self.add("final_parameters", Parameters(spec.final_parameters, 1, spec.lanes))
        self.parameters = [layer, final]
        connect(m, data, sections.channel)
        connect(m, sections.outputs[0], layer.channel)
        connect(m, sections.outputs[1], final.channel)
        self.order("parameters", layer.order, "tiles")
        # Once a run.
        source = self.orders["final"]
        m.d.comb += [final.order.valid.eq(source.valid), source.ready.eq(final.order.ready), final.order.payload.eq(1)]

    def share(self) -> None:
        """The linear units, and what brings them their rows and takes their sums."""
        m, spec = self.m, self.spec
        self.distribute = distribute = self.add("distribute", Distribute(spec.sharing))
        self.collect = collect = self.add("collect", Collect(spec.sharing))
        m.d.comb += [distribute.shared.eq(self.sequencer.shared), collect.shared.eq(self.sequencer.shared)]
        connect(m, self.orders["distribute"], distribute.order)
        connect(m, self.orders["collect"], collect.order)
        for i, name in enumerate(LINEAR_UNITS):
            unit = self.add(name, Linear(spec.linear(name)))
            connect(m, self.orders[name], unit.order)
            connect(m, distribute.arrays[i], unit.activations)
            connect(m, unit.sums, collect.arrays[i])
            channels = [getattr(self.pipeline, f"weights_{name}_{role}") for role in ("requests", "data")]
            for data, weights in zip(self.fetched(name, *channels), unit.weights, strict=True):
                connect(m, data, weights)

    def product(self, name: str, tokens: Any) -> Any:
        """Row quantiser, product and requantiser."""
        m, spec = self.m, self.spec
        index = (*LINEAR_UNITS, "head").index(name)
        rows = self.add(f"rows_{name}", RowQuantise(spec.row_quantise(name)))
        requantise = self.add(f"requantise_{name}", Requantise(spec.requantise(name)))
        # A factor waits while its tile is in the unit: two in the activation buffer, one in the sums, one arriving.
        factors = self.add(f"factors_{name}", StreamBuffer(rows.factors.payload.shape(), 4))
        connect(m, tokens, rows.values)
        self.channels(f"limit_{name}", rows.limit)
        connect(m, rows.quantised, self.distribute.sources[index])
        connect(m, rows.factors, factors.input)
        connect(m, self.collect.outputs[index], requantise.sums)
        connect(m, factors.output, requantise.factors)
        self.channels(name, requantise.channels)
        return requantise.values

    def normed(self, name: str, tokens: Any) -> Any:
        """Normalised tokens."""
        norm = self.add(name, LayerNorm(self.spec.norm))
        connect(self.m, tokens, norm.values)
        self.channels(name, norm.channels)
        self.channels(f"epsilon_{name}", norm.epsilon)
        return norm.normalised

    def residual(self, index: int, tokens: Any, branch: Any) -> Any:
        """``tokens + branch(norm(tokens))``."""
        m, spec = self.m, self.spec
        fork = self.add(f"fork{index}", Fork(tokens.payload.shape(), 2))
        add = self.add(f"residual{index}", ResidualAdd(spec.residual1 if index == 1 else spec.residual2))
        connect(m, tokens, fork.input)
        connect(m, fork.outputs[0], add.skip)
        connect(m, branch(self.normed(f"norm{index}", fork.outputs[1])), add.branch)
        self.channels(f"residual{index}", add.channels)
        return add.total

    def attention(self, tokens: Any) -> Any:
        """Causal self-attention over the cache, projection included."""
        spec = self.spec
        place, last = (("tile", "rows"), ("last",)) if self.memories else (("layer", "tile", "rows"), ())
        units = attend(self, spec, lambda: self.product("qkv", tokens), tapped=bool(self.memories))
        reach, passes = {"words": spec.scores_unit.words}, {"passes": spec.sums_unit.passes}
        self.order("scores", units.scores.order, *place, "key_passes", "words", *last, **reach)
        self.order("sums", units.sums.order, *place, "passes", "value_words", *last, **passes)
        attach(self, self.pipeline, self.memories, units)
        self.order("softmax", units.softmax.control, "tokens", "tile")
        return self.product("projection", units.context)

    def feed_forward(self, tokens: Any) -> Any:
        """Two products with an activation between."""
        m, spec = self.m, self.spec
        activation = self.add("activation", Activation(spec.activation))
        connect(m, self.product("ffn1", tokens), activation.values)
        self.order("activation", activation.order, "tiles")
        self.channels("activation", activation.table)
        return self.product("ffn2", activation.activated)

    def head(self, tokens: Any) -> None:
        """From the last tile to the candidates for the next token."""
        m, spec, pipeline = self.m, self.spec, self.pipeline
        candidates = self.add("candidates", TopK(spec.candidates))
        logits = self.product("head", self.normed("norm", tokens))
        connect(m, logits, candidates.logits)
        self.order("candidates", candidates.order, "last_row", "k")
        connect(m, candidates.results, pipeline.results)
        results = candidates.results
        m.d.comb += self.sequencer.done.eq(results.valid & results.ready & results.payload.last)
