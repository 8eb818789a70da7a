"""Many spatial points at once: their figures by lookup, sum and maximum."""

from functools import cached_property
from math import ceil

import numpy as np

from ....kernels.shared import MAX_TERMS, shared_cycles
from ....kernels.weights import block_words, choice_cost
from ...geometry.arrays import ATTENTION_ARRAYS
from ...geometry.decoder_layer_spec import DecoderLayerSpec
from ...geometry.formulas import (
    attention_cycles,
    busy_cycles,
    encoder_cycles,
    held_weights,
    reload_cycles,
    ring_cycles,
    tile_latency,
    unheld_bytes,
)
from ..lookup import looked_up
from ..points import ALL, PROMPT
from .ported_points import PortedPoints

__all__ = ["SpatialPoints"]


class SpatialPoints(PortedPoints):
    """Spatial points side by side: what their units take, of the device and of the time."""

    @cached_property
    def chains(self) -> np.ndarray:
        """Beats of a pass's sums of the linear units, [units, points]."""
        return np.stack([self.of(name, "chain") for name in self.products])

    @cached_property
    def banks(self) -> np.ndarray:
        """RAMs of keys and values that are read at once."""
        scores, sums = (self.of(name, "columns") * self.of(name, "cascades") for name in ATTENTION_ARRAYS)
        return scores + sums

    @property
    def joint(self) -> np.ndarray:
        """Where what joins the units stands, by the pair of scores and sums."""
        scores, sums = (self.option[name] - self.options[name].start[self.group] for name in ATTENTION_ARRAYS)
        return np.asarray(self.tables.joint_start[self.group] + scores * self.options["sums"].size[self.group] + sums)

    @cached_property
    def resources(self) -> np.ndarray:
        """Resources of all copies, [points, 5]."""
        total = self.tables.resources[self.group] + self.of("scores", "resources")[:, 0]
        every = np.arange(len(self.group))
        total = total + self.of("sums", "resources")[every, self.of("scores", "style")]
        total = total + self.tables.joints[self.joint] + self.tables.cache_resources[self.cache, self.banks]
        for name, channels in zip(self.products, self.channels, strict=True):
            total = total + self.of(name, "resources")[every, self.layers]
            total = total + (channels - 1)[:, None] * self.of(name, "channel")
        total[:, -2:] += self.choices_cost
        return np.asarray(total * self.copies[:, None])

    @cached_property
    def choices_cost(self) -> np.ndarray:
        """LUT and FF of the RAMs of weights that come in blocks, [points, 2], besides those of single words."""
        if not self.network.causal:
            return np.zeros((len(self.group), 2))
        words = looked_up(block_words, self.channel_rams, self.block_divisor, like=1)
        single = choice_cost(1, 1)
        every = looked_up(choice_cost, self.channel_rams, words, like=single) - single
        return np.asarray((every * (self.columns * self.cascades)[..., None]).sum(axis=0))

    @cached_property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Where what depends on both scores and sums stands."""
        return self.option["scores"], self.of("sums", "cascades")

    @cached_property
    def linear(self) -> np.ndarray:
        """Cycles of a tile in the linear units, [units, points]."""
        return np.stack([self.of(name, "cycles")[:, PROMPT] for name in self.products])

    @cached_property
    def reload(self) -> np.ndarray:
        """As `reload_cycles`."""
        return np.asarray(reload_cycles(self.layer_words * self.beats_a_word, self.linear, self.layers + 1))

    @cached_property
    def tail(self) -> tuple[np.ndarray, np.ndarray]:
        """As `DecoderLayerSpec.tail_cycles` and `SpatialDesign.tail_bytes`."""
        none = np.zeros(len(self.group))
        if not self.network.causal:
            return none, none
        held = held_weights(self.columns, self.cascades, self.held) * self.by_bits(1)
        cycles = np.maximum(self.head, self.loads[1])
        return cycles, unheld_bytes(self.by_bits(self.network.head_weights), held)

    @cached_property
    def latencies(self) -> np.ndarray:
        """Latencies of the linear units' arrays, [units, points]."""
        every = np.arange(len(self.group))
        return np.stack([self.of(name, "latency")[every, self.layers] for name in self.products])

    def product(self, place: int, inputs: int, outputs: int) -> np.ndarray:
        """Cycles of a product that all linear units share."""
        passes = np.stack([self.of(name, "passes")[:, place] for name in self.products])
        cycles = shared_cycles(outputs * ceil(inputs / MAX_TERMS), passes, self.columns, self.chains)
        return cycles + self.latencies.max(axis=0)

    @cached_property
    def head(self) -> np.ndarray:
        """Cycles of the head for a token."""
        return self.product(len(self.products), self.network.hidden, self.network.vocabulary)

    def tiles(self, length: int) -> np.ndarray:
        """Tiles of a prompt of one of the lengths."""
        return np.asarray(-(-(self.kind.prompt + (self.kind.output if length == ALL else 0)) // self.rows))

    def prefill(self, length: int) -> np.ndarray:
        """Cycles of a prompt of one of the lengths."""
        tiles = self.tiles(length)
        scores, sums = (self.of(name, "cycles")[:, length] for name in ATTENTION_ARRAYS)
        linear = self.linear
        softmax, rows = self.options["scores"].softmax[self.pair][:, length], self.options["scores"].rows[self.pair]
        latencies = [*self.latencies, *(self.of(name, "latency") for name in ATTENTION_ARRAYS)]
        stream = self.tables.stream[self.group, 0]
        if not self.network.causal:
            first = linear[0]  # queries, keys and values
            pace = np.max([rows, *linear, scores, softmax, sums], axis=0).astype(np.int64)
            lead = np.maximum(rows.astype(np.int64), first)
            fill = tile_latency([2 * first // 3, *linear[1:], sums], latencies, stream)
            return np.asarray(encoder_cycles(tiles, self.network.layers, pace, lead, fill, self.reload))
        cycles = ring_cycles(
            tiles, self.network.layers // self.copies,
            busy=self.busy(length, np.max([rows, *linear], axis=0).astype(np.int64)),
            loop=self.copies * tile_latency([*linear, scores, sums], latencies, stream), reload=self.reload,
        )  # fmt: skip
        return np.asarray(cycles + self.tail[0] + self.tables.stream[self.group, 1])

    def busy(self, length: int, pace: np.ndarray) -> np.ndarray:
        """As `DecoderLayerSpec.busy_cycles` of a prompt; the ``pace`` of what takes all tiles the same."""
        tiles = self.tiles(length)
        scores, sums = self.options["scores"], self.options["sums"]
        units = (
            (scores.tiles, (self.option["scores"],)),
            (sums.tiles, (self.option["sums"],)),
            (scores.softmax_tiles, self.pair),
        )
        last = np.max([cycles[*option, length, tiles - 1] for cycles, option in units], axis=0)
        slower = np.flatnonzero(last > pace)
        attention = np.max([cycles[*(one[slower] for one in option), length] for cycles, option in units], axis=0)
        found = tiles * pace
        found[slower] = busy_cycles(tiles[slower], pace[slower], attention)
        return found

    @cached_property
    def layer_products(self) -> list[np.ndarray]:
        """Cycles of a layer's products for a token."""
        return [
            self.product(place, operator.inputs, operator.outputs)
            for place, operator in enumerate(self.network.operators)
        ]

    @cached_property
    def token_parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cycles of a token, with weights at hand: of a layer's attention and all else of it, and of both ends."""
        full, latencies = ([self.of(name, figure) for name in ATTENTION_ARRAYS] for figure in ("full", "latency"))
        reading = self.tables.cache_cycles[self.banks]
        attention = sum(attention_cycles(full, latencies, reading, self.network.heads))
        layer = sum(self.layer_products) + self.tables.stream[self.group, 0]
        return np.asarray(attention), np.asarray(layer), self.head + self.tables.stream[self.group, 1]

    @property
    def token_units(self) -> np.ndarray:
        """Cycles of a token of one sequence in the units, whatever they wait for."""
        attention, layer, ends = self.token_parts
        return np.asarray(self.network.layers * (attention + layer) + ends)

    def decode(self, sequences: np.ndarray) -> np.ndarray:
        """Cycles of a token of so many sequences, at most a tile's rows."""
        attention, layer, ends = self.token_parts
        # Waits are found for one token.
        wait = self.wait(attention + layer, self.layer_products[-1], ends)
        return np.asarray(self.network.layers * (sequences * attention + layer + wait) + ends)

    def wait(self, layer: np.ndarray, last_product: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """As `DecoderLayerSpec.loading_wait`, group by group."""
        found = np.zeros(len(layer), dtype=np.int64)
        for group in np.unique(self.group):
            here, base = self.group == group, self.tables.bases[group]
            assert isinstance(base, DecoderLayerSpec)
            found[here] = base.loading_wait(layer[here], last_product[here], ends[here], self.loads[0][here])
        return found
