"""The geometry of a decoder as it is built: GPT-2's layer in hardware, with the cache, the head and what feeds them.

`DecoderLayerSpec` has what estimates ask; here stands every unit that the pipeline is composed of (`hdl/top/decoder`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import ceil
from typing import Any, Self, TypeVar

from ...kernels.attention import OFF_CHIP_LAYERS
from ...kernels.embedding import EmbeddingSpec
from ...kernels.fetch import PAGE_BEATS, FetchSpec
from ...kernels.kvmemory import KvMemorySpec
from ...kernels.linear import LinearSpec
from ...kernels.readarbiter import ReadArbiterSpec
from ...kernels.requantise import RequantiseSpec
from ...kernels.residual import ResidualSpec
from ...kernels.rowquantise import RowQuantiseSpec
from ...kernels.scores import ScoresSpec
from ...kernels.shared import Product, SharedColumnsSpec
from ...kernels.sharing import share
from ...kernels.topk import MAX_CANDIDATES, TopKSpec
from ...kernels.weightedsum import WeightedSumsSpec
from ...memory import ReplaySpec
from ...model.architecture import Add, Attention, Linear, Operator
from ...model.lowering import Lowering
from ...model.weightbits import W8, WeightBits
from ...resources import Resources
from ...stream import buffer_resources
from .arrays import ArrayShape
from .decoder_layer_spec import MEMORY_LATENCY, DecoderLayerSpec
from .pipeline_spec import Segments, Unit, bank_style, unit_resources
from .section import OperatorUnit, Section

__all__ = ["DecoderSpec"]

AttentionUnit = TypeVar("AttentionUnit", ScoresSpec, WeightedSumsSpec)

StyledUnit = TypeVar("StyledUnit", LinearSpec, ScoresSpec, WeightedSumsSpec, ResidualSpec)


@dataclass(frozen=True, kw_only=True)
class DecoderSpec(DecoderLayerSpec):
    """One layer of GPT-2 in hardware, and what stands before the first and behind the last.

    ``weight_bits`` in memory, by product: 8, or 4 with a factor for each group (`hdl/kernels/packedweights.py`).
    ``cache_channels`` of memory for keys, and as many for values, where these do not lie on chip; ``cache_banks``:
    layers of these that lie in RAMs at once, loaded ahead of the one that is read. ``block_rams``: units, of
    `movable`, whose RAMs are made of block RAM where they would be of URAM (`hdl/perf/choice/block_rams.py`).
    ``padding``: rows of the last tile that no token may take: ``max_length`` is whole tiles, the positions of the model
    need not be.

    Raises:
        ValueError: as `DecoderLayerSpec`, for units that are not `movable`, for padding of a whole tile, and for what
            is estimated but not built yet: gates, shared key and value heads.
    """

    weight_bits: WeightBits = W8
    cache_channels: int = 2
    cache_banks: int = OFF_CHIP_LAYERS
    block_rams: tuple[str, ...] = ()
    padding: int = 0

    def __post_init__(self) -> None:
        if self.gated or self.kv_heads != self.heads:
            raise ValueError("decoder that is built must have neither gates nor shared key and value heads so far")
        if self.cache_channels < 1 and not self.cache_on_chip:
            raise ValueError(f"decoder must have at least 1 channel for its keys, not {self.cache_channels}")
        for name in self.block_rams:
            if name not in self.movable:
                raise ValueError(f"decoder block_rams must be of {', '.join(self.movable)}, not {name!r}")
        if not 0 <= self.padding < self.rows:
            raise ValueError(f"decoder padding must be 0 to {self.rows - 1}, less than a tile, not {self.padding}")
        super().__post_init__()
        _ = self.sharing, self.memories

    @classmethod
    def of(cls, spec: DecoderLayerSpec, **others: Any) -> Self:
        """What is built of a geometry, with ``others`` instead of its fields, or its own.

        Raises:
            ValueError: as the class.
        """
        geometry = {field.name: getattr(spec, field.name) for field in fields(DecoderLayerSpec)}
        return cls(**geometry | others)

    @property
    def movable(self) -> tuple[str, ...]:
        """The units whose URAMs may be made of block RAM instead."""
        return ("loop", *(add.name for add in self.layer.of(Add)), *self.arrays)

    @property
    def positions(self) -> int:
        """Tokens of the longest text, each of which has a row in the table of positions."""
        return self.max_length - self.padding

    @cached_property
    def shared_products(self) -> dict[str, Product]:
        """What all arrays compute together, in the order of a token's way; the head's outputs fill whole beats."""
        return {
            one.name: Product(one.inputs, ceil(one.outputs / self.lanes) * self.lanes, self.weight_bits[one.name])
            for one in (*self.layer.of(Linear), *self.head.of(Linear))
        }

    @cached_property
    def _sharing(self) -> tuple[tuple[LinearSpec, ...], SharedColumnsSpec]:
        """The linear units, and what joins them."""
        return share(
            [self._styled(name, super(DecoderSpec, self)._linear_unit(name)) for name in self.products],
            [*self.shared_products.values()],
        )

    @property
    def sharing(self) -> SharedColumnsSpec:
        """What lets the linear units work on one product together."""
        return self._sharing[1]

    def weight_block(self, name: str, shape: ArrayShape) -> int:
        """As a decoder's; where any weights have 4 bits, all come in single words."""
        return 1 if self.weight_bits.packed else super().weight_block(name, shape)

    def _linear_unit(self, name: str) -> LinearSpec:
        return self._sharing[0][self.products.index(name)]

    def _styled(self, name: str, unit: StyledUnit) -> StyledUnit:
        """A unit with its URAMs made of block RAM, if it is one of those."""
        moved = name in self.block_rams and unit_resources(unit).uram
        return replace(unit, ram_style="block") if moved else unit

    @property
    def largest(self) -> int:
        """The most candidates for the next token."""
        return min(MAX_CANDIDATES, self.vocabulary)

    @property
    def scores_unit(self) -> ScoresSpec:
        """Queries times keys."""
        return self._styled("scores", self._cached(super().scores_unit))

    @property
    def sums_unit(self) -> WeightedSumsSpec:
        """Numerators times values."""
        return self._styled("sums", self._cached(super().sums_unit))

    def _cached(self, unit: AttentionUnit) -> AttentionUnit:
        """A unit of attention with a cache of all layers in its RAMs, or off chip of the present one and the next."""
        layers = self.max_layers if self.cache_on_chip else self.cache_banks
        channels = 0 if self.cache_on_chip else self.cache_channels
        return replace(unit, layers=layers, channels=channels, ram_style=bank_style(layers * unit.banks.bank_stride))

    @property
    def cache_ports(self) -> int:
        """Ports of keys and values in off-chip memory."""
        return sum(memory.channels for memory in self.memories.values())

    @property
    def memories(self) -> dict[str, KvMemorySpec]:
        """Keys and values in off-chip memory, by what their channels are called; nothing where they are on chip."""
        if self.cache_on_chip:
            return {}
        units = {"keys": self.scores_unit, "values": self.sums_unit}
        return {
            name: KvMemorySpec(unit=unit, layers=self.max_layers, latency_cycles=MEMORY_LATENCY)
            for name, unit in units.items()
        }

    def residual(self, name: str) -> ResidualSpec:
        """A residual addition, perhaps in block RAM."""
        return self._styled(name, super().residual(name))

    def tiles_in(self, operator: Operator) -> int:
        """As an encoder's; the cache keeps so many tiles ahead between keys stored and numerators read."""
        return self.scores_unit.banks.ahead if isinstance(operator, Attention) else super().tiles_in(operator)

    @property
    def loop(self) -> ReplaySpec:
        """The tiles on their way back. A layer's last tile enters before the next layer's first, so what has left must
        find room: a whole prompt, since what the units hold meanwhile changes with the geometry. A loop that, with
        them, holds less waits for itself."""
        words = ResidualSpec(
            rows=self.rows, lanes=self.lanes, features=self.hidden, depth=self.max_tiles * self.tile_beats
        )
        return self._styled("loop", words).fifo

    @cached_property
    def head_lowering(self) -> Lowering:
        """What the numbers of the head's units follow from."""
        return Lowering(self.head, looped=False)

    @property
    def head_product(self) -> Linear:
        """The head's linear operator."""
        return self.head.of(Linear)[0]

    def row_quantise(self, name: str) -> RowQuantiseSpec:
        """The row quantiser in front of a product."""
        if name != self.head_product.name:
            return super().row_quantise(name)
        return self.head_lowering.row_quantise(self.head_product, rows=self.rows, lanes=self.lanes)

    def requantise(self, name: str) -> RequantiseSpec:
        """The requantiser after a product, or after the weighted sums (under the name of the attention)."""
        if name != self.head_product.name:
            return super().requantise(name)
        sum_bits = super().requantise(self.layer.of(Linear)[-1].name).sum_bits
        outputs = self.shared_products[name].outputs
        return self.head_lowering.requantise(
            self.head_product, rows=self.rows, lanes=self.lanes, sum_bits=sum_bits, channels=outputs
        )

    @property
    def embedding(self) -> EmbeddingSpec:
        """The word and position tables, and the rows of a tile."""
        return EmbeddingSpec(
            rows=self.rows, lanes=self.lanes, hidden=self.hidden, vocabulary=self.vocabulary,
            positions=self.positions, latency_cycles=MEMORY_LATENCY,
        )  # fmt: skip

    @property
    def embedding_base(self) -> int:
        """Where the tables lie in the channel of the parameters: behind these, from a page on."""
        return ceil(self.parameter_beats / PAGE_BEATS) * PAGE_BEATS

    @property
    def arbiter(self) -> ReadArbiterSpec:
        """What lets the embedding and the parameters share a channel."""
        return ReadArbiterSpec(bases=(self.embedding_base, 0))

    @property
    def candidates(self) -> TopKSpec:
        """The best tokens by their logits."""
        return TopKSpec(rows=self.rows, lanes=self.lanes, features=self.vocabulary, largest=self.largest)

    def _units_of(self, operator: Operator) -> Iterator[OperatorUnit]:
        """As a layer's; but all arrays share the head's product, whose parameters are taken once, as they come."""
        if operator != self.head_product:
            yield from super()._units_of(operator)
            return
        rows, requantise = self._around(self.head_product)
        once = {member: block._replace(table=True) for member, block in requantise.blocks.items()}
        yield from (rows, requantise._replace(blocks=once))

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The graphs that the pipeline computes: the layer, and the head after the last layer."""
        return super().sections | {"head": self._section(self.head)}

    @property
    def parameter_beats(self) -> int:
        """Beats of the parameters of all layers and of the head."""
        return self.max_layers * self.sections["layer"].beats + self.sections["head"].beats

    @cached_property
    def fetch(self) -> FetchSpec:
        """The readers of weights and parameters."""
        longest = max(
            beats
            for name in (*self.products, "parameters")
            for segments in self.segments(name).values()
            for _, beats in segments
        )
        return FetchSpec(max_beats=longest, latency_cycles=MEMORY_LATENCY)

    def segments(self, name: str) -> dict[str, Segments]:
        """What a prompt and what a token read of each channel of a linear unit, or of the ``parameters``. The layers of
        a prompt lie first, then those of a token and the head."""
        if name == "parameters":
            both = ((0, self.parameter_beats),)
            return {"prompt": both, "token": both}
        unit, layers = self.linear(name), self.max_layers
        own = layers * unit.product_beats(0)
        *products, head = (unit.product_beats(1 + index) for index in range(len(self.shared_products)))
        token = layers * sum(products)
        return {"prompt": ((0, own), (own + token, head)), "token": ((own, token + head),)}

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The spec of every kernel by its name in the pipeline: a layer's, then what is before and behind all."""
        units = {name: unit for name, unit in super().units.items() if name != "kv_cache"}
        ends: dict[str, Unit] = {"embedding": self.embedding, "loop": self.loop}
        ends |= {unit.name: unit.spec for unit in self.sections["head"]}
        memories = {f"memory_{name}": memory for name, memory in self.memories.items()}
        return units | ends | memories | {"candidates": self.candidates}

    @property
    def parameter_resources(self) -> Resources:
        """What joins the units: buffers of all parameters and orders, readers of memory, and what lets arrays share."""
        blocks = [block for block in self.sections["head"].parameters if not block.table]
        final = sum((block.replay(1).resources for block in blocks), Resources())
        readers = self.fetch.resources * (sum(self.channels) + 1)
        ids = buffer_resources(self.vocabulary.bit_length(), max(self.positions, 2))
        sharing = self.sharing.distribute_resources + self.sharing.collect_resources
        return super().parameter_resources + final + readers + self.arbiter.resources + ids + sharing
