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
from ...kernels.embedding import Embedding
from ...kernels.fetch import Fetch
from ...kernels.linear import Linear as LinearUnit
from ...kernels.readarbiter import ReadArbiter
from ...kernels.scores import Scores
from ...kernels.sharing import Collect, Distribute
from ...kernels.topk import TopK
from ...kernels.weightedsum import WeightedSums
from ...model.architecture import Linear, Table
from ...perf.geometry.decoder_spec import DecoderSpec
from ...stream import Fork, connect, tile
from ..encoder_pipeline import Entry
from ..graph import GraphComposition
from ..parameter_dealer import ParameterDealer
from .ends import Leave, Loop
from .feed import Sections, Segments
from .layers import LayerOrders, ProductOrders, TileOrders
from .memories import attach, memories
from .orders import AcceptedCommand, Command, Status, TileOrder, TilesOrder
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

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        members: dict[str, Any] = {
            "commands": In(stream.Signature(Command(spec))),
            "ids": In(stream.Signature(range(spec.vocabulary + 1))),
            "results": Out(stream.Signature(spec.candidates.result)),
            "status": Out(stream.Signature(Status(spec))),
            "outputs": Out(stream.Signature(tile(spec.rows, spec.lanes, signed(16)))),
        }
        requests, beats = Out(stream.Signature(Request)), In(stream.Signature(unsigned(CHANNEL_BITS)))
        members |= {"parameters_requests": requests, "parameters_data": beats}
        for unit in spec.products:
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
        return DecoderComposition(self, platform).m


TILE_READERS = ("scores", "sums", "softmax")
"""What takes an order a tile, besides storers of keys and values."""


class DecoderComposition(GraphComposition):
    """Builds the module of a decoder: arrays share products, attention reaches over the cache."""

    spec: DecoderSpec

    def __init__(self, pipeline: DecoderPipeline, platform: Any):
        super().__init__(platform, pipeline.spec)
        self.pipeline = pipeline
        m, spec = self.m, pipeline.spec
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
        entry = self.add("entry", Entry(spec, TilesOrder(spec)))
        leave, loop = self.add("leave", Leave(spec)), self.add("loop", Loop(spec))
        self.order("embedding", embedding.order, "position", "tokens")
        self.order("entry", entry.order, *TilesOrder(spec).members)
        self.order("leave", leave.order, *TilesOrder(spec).members)
        connect(m, self.sequencer.tokens, embedding.ids)
        connect(m, embedding.tokens, entry.outside)
        connect(m, leave.feedback, loop.input)
        connect(m, loop.output, entry.feedback)
        connect(m, leave.outside, pipeline.outputs)
        m.d.comb += self.sequencer.left.eq(leave.left)
        layer = spec.sections["layer"]
        connect(m, self.walk(layer.graph, layer.units, entry.output), leave.input)
        self.head(leave.final)

    def control(self) -> None:
        """The sequencer, and the orders that follow from a run."""
        m, spec, pipeline = self.m, self.spec, self.pipeline
        self.sequencer = sequencer = self.add("sequencer", Sequencer(spec))
        connect(m, pipeline.commands, sequencer.commands)
        connect(m, pipeline.ids, sequencer.ids)
        connect(m, sequencer.status, pipeline.status)
        run_readers: tuple[str, ...] = ("layers", "embedding", "candidates", "final", "segments_parameters")
        run_readers += tuple(f"segments_{name}" for name in spec.products)
        run_readers += tuple(f"ahead_{name}" for name in self.memories)
        self.orders = self.dealt("runs", AcceptedCommand(spec), run_readers, sequencer.runs)
        layers = self.add("layers", LayerOrders(spec))
        tiles, products = self.add("tiles", TileOrders(spec)), self.add("products", ProductOrders(spec))
        connect(m, self.orders["layers"], layers.runs)
        tables = (table.name for table in spec.layer.of(Table))
        layer_readers = ("entry", "leave", "tiles", "products", *tables, "parameters")
        tile_readers = (*TILE_READERS, *(f"store_{name}" for name in self.memories))
        self.orders |= self.dealt("layer_orders", TilesOrder(spec), layer_readers, layers.orders)
        connect(m, self.orders["tiles"], tiles.layers)
        connect(m, self.orders["products"], products.layers)
        self.orders |= self.dealt("tile_orders", TileOrder(spec), tile_readers, tiles.orders)
        self.orders |= self.dealt("linear_orders", products.orders.payload.shape(), spec.products, products.orders)
        shared = products.shared.payload.shape()
        self.orders |= self.dealt("shared_orders", shared, ("distribute", "collect"), products.shared)

    def dealt(self, name: str, shape: Any, readers: Sequence[Any], source: Any) -> dict[Any, Any]:
        """``source`` for several readers, by their names."""
        fork = self.add(name, Fork(shape, len(readers)))
        connect(self.m, source, fork.input)
        return dict(zip(readers, fork.outputs, strict=True))

    def fetched(self, name: str, requests: list[Any], answers: list[Any]) -> list[Any]:
        """The data of memory channels whose segments are the same."""
        m, spec = self.m, self.spec
        segments = self.add(f"segments_{name}", Segments(spec.fetch, **spec.segments(name)))
        self.order(f"segments_{name}", segments.runs, "shared")
        orders = self.dealt(f"segment_orders_{name}", spec.fetch.order, range(len(requests)), segments.segments)
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
        own, head = spec.sections["layer"], spec.sections["head"]
        sections = self.add("sections", Sections((spec.max_layers * own.beats, head.beats)))
        layer = self.add("parameters", ParameterDealer(own.parameters, spec.max_tiles, spec.lanes))
        final = self.add("final_parameters", ParameterDealer(head.parameters, 1, spec.lanes))
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
        for i, name in enumerate(spec.products):
            unit = self.add(name, LinearUnit(spec.linear(name)))
            connect(m, self.orders[name], unit.order)
            connect(m, distribute.arrays[i], unit.activations)
            connect(m, unit.sums, collect.arrays[i])
            channels = [getattr(self.pipeline, f"weights_{name}_{role}") for role in ("requests", "data")]
            for data, weights in zip(self.fetched(name, *channels), unit.weights, strict=True):
                connect(m, data, weights)

    def multiply(self, product: Linear, rows: Any) -> Any:
        """The sums of a product, of its own unit or of all arrays together."""
        index = [*self.spec.shared_products].index(product.name)
        connect(self.m, rows, self.distribute.sources[index])
        return self.collect.outputs[index]

    def attach(self, scores: Scores, sums: WeightedSums) -> None:
        """Connects the loaders and storers of keys and values that lie off chip."""
        for (name, memory), unit in zip(self.memories.items(), (scores, sums), strict=False):
            attach(self, self.pipeline, name, memory, unit)

    def kept(self, name: str, source: Any) -> Any:
        """Keys or values for the RAMs; where they lie off chip, they are stored as well."""
        if name not in self.memories:
            return source
        inside, outside = self.forked(f"fork_{name}", source, 2)
        connect(self.m, outside, self.memories[name].store.tiles)
        return inside

    def head(self, tokens: Any) -> None:
        """From the last tile to the candidates for the next token."""
        m, spec, pipeline = self.m, self.spec, self.pipeline
        head = spec.sections["head"]
        logits = self.walk(head.graph, head.units, tokens)
        candidates = self.add("candidates", TopK(spec.candidates))
        connect(m, logits, candidates.logits)
        self.order("candidates", candidates.order, "last_row", "k")
        connect(m, candidates.results, pipeline.results)
        results = candidates.results
        m.d.comb += self.sequencer.done.eq(results.valid & results.ready & results.payload.last)
