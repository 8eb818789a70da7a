"""A design of arrays that share products, for tests: runs that are prompts or shared, and what they need and give."""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.kernels.linear import CHANNEL_BITS, Linear, LinearSpec, ProductOrder, exact_matmul
from hdl.kernels.shared import GROUP, SharedColumnsSpec
from hdl.kernels.sharing import Collect, Distribute
from hdl.stream import Fork, connect, tile

from .tensors import as_beats

COUNT = unsigned(16)


class SharedUnits(wiring.Component):
    """Linear units with `Distribute` and `Collect`.

    Members: ``runs`` (stream: the level ``shared``, the beats that each source has for the run, and the ``sums`` that
    leave in it: then the pipeline is empty, and the next run's level is set), ``orders`` (for all units), ``together``
    (for what joins them), ``sources[p]``, ``weights_i[c]``, ``sums[p]``.
    """

    def __init__(self, units: tuple[LinearSpec, ...], spec: SharedColumnsSpec):
        self.units, self.spec = units, spec
        products = len(spec.products)
        run = data.StructLayout({"shared": 1, "sources": data.ArrayLayout(COUNT, products), "sums": COUNT})
        channel = stream.Signature(unsigned(CHANNEL_BITS))
        sums = stream.Signature(tile(spec.rows, spec.lanes, signed(spec.sum_bits)))
        super().__init__(
            {
                "runs": In(stream.Signature(run)),
                "orders": In(stream.Signature(ProductOrder(units[0]))),
                "together": In(stream.Signature(spec.order)),
                "sources": In(stream.Signature(tile(spec.rows, spec.lanes, signed(8)))).array(products),
                "sums": Out(sums).array(products),
            }
            | {f"weights_{i}": In(channel).array(unit.channels) for i, unit in enumerate(units)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.distribute = distribute = Distribute(self.spec)
        m.submodules.collect = collect = Collect(self.spec)
        m.submodules.orders = orders = Fork(self.orders.payload.shape(), len(self.units))
        m.submodules.together = together = Fork(self.spec.order, 2)
        connect(m, self.orders, orders.input)
        connect(m, self.together, together.input)
        connect(m, together.outputs[0], distribute.order)
        connect(m, together.outputs[1], collect.order)
        m.d.comb += [joint.shared.eq(self.runs.valid & self.runs.payload.shared) for joint in (distribute, collect)]
        for i, unit_spec in enumerate(self.units):
            m.submodules[f"unit_{i}"] = unit = Linear(unit_spec)
            connect(m, orders.outputs[i], unit.order)
            connect(m, distribute.arrays[i], unit.activations)
            for outside, inside in zip(getattr(self, f"weights_{i}"), unit.weights, strict=True):
                connect(m, outside, inside)
            connect(m, unit.sums, collect.arrays[i])
        for inside, outside in zip(collect.outputs, self.sums, strict=True):
            connect(m, inside, outside)
        self._run(m, distribute)
        return m

    def _run(self, m: Module, distribute: Distribute) -> None:
        """Lets as many beats in as belong to the run, and ends it with its last sums."""
        run = self.runs.payload
        left, leaving = Signal(COUNT), Cat(sums.valid & sums.ready for sums in self.sums)
        after = Signal(COUNT)
        m.d.comb += [after.eq(left + sum(leaving, start=0)), self.runs.ready.eq(after == run.sums)]
        m.d.sync += left.eq(Mux(self.runs.ready, 0, after))
        steady = Signal()  # the level has been set before this cycle
        m.d.sync += steady.eq(self.runs.valid & ~self.runs.ready)
        for p, (outside, inside) in enumerate(zip(self.sources, distribute.sources, strict=True)):
            taken, room = Signal(COUNT, name=f"taken{p}"), Signal(name=f"room{p}")
            m.d.comb += [
                room.eq(steady & (taken != run.sources[p])),
                inside.valid.eq(outside.valid & room),
                inside.payload.eq(outside.payload),
                outside.ready.eq(inside.ready & room),
            ]
            m.d.sync += taken.eq(Mux(self.runs.ready, 0, taken + (inside.valid & inside.ready)))


@dataclass(frozen=True)
class Prompt:
    """Layers of so many tiles, each array its own product."""

    layers: tuple[int, ...]


@dataclass(frozen=True)
class Together:
    """Products that all arrays work on, a tile each."""

    products: tuple[int, ...]


class Script:
    """The inputs and the sums expected of runs on random values, extremes among them."""

    def __init__(
        self, units: tuple[LinearSpec, ...], spec: SharedColumnsSpec, runs: list[Prompt | Together], seed: int
    ):
        self.units, self.spec, self.rng = units, spec, np.random.default_rng(seed)
        self.orders: list[dict[str, int]] = []
        self.together: list[int] = []
        self.beats: dict[str, list[np.ndarray]] = defaultdict(list)
        self.expected: dict[str, list[np.ndarray]] = defaultdict(list)
        self.runs = [self._run(run) for run in runs]

    @property
    def inputs(self) -> dict[str, Any]:
        """Payloads by port."""
        ports = {name: np.concatenate(beats) for name, beats in self.beats.items()}
        return ports | {"runs": self.runs, "orders": self.orders, "together": self.together}

    @property
    def sums(self) -> dict[str, np.ndarray]:
        """What leaves, by port."""
        return {name: np.concatenate(beats) for name, beats in self.expected.items()}

    def _run(self, run: Prompt | Together) -> dict[str, Any]:
        sources, sums = [0] * len(self.spec.products), 0
        if isinstance(run, Prompt):
            steps = [(0, p, tiles) for tiles in run.layers for p in range(len(self.units))]
            self.orders += [{"product": 0, "tiles": tiles} for tiles in run.layers]
        else:
            steps = [(p + 1, p, 1) for p in run.products]
            self.orders += [{"product": p + 1, "tiles": 1} for p in run.products]
            self.together += run.products
        for number, p, tiles in steps:
            rows, weights, factors = self._product(p, tiles)
            sources[p] += len(rows)
            for i, unit in enumerate(self.units):
                if number or i == p:
                    self._weights(i, unit.pack(weights, number, factors))
            sums += len(self.expected[f"sums__{p}"][-1])
        return {"shared": int(isinstance(run, Together)), "sources": sources, "sums": sums}

    def _product(self, p: int, tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Source beats, weights and their factors of a product; its sums are kept."""
        product, rows, lanes = self.spec.products[p], self.spec.rows, self.spec.lanes
        values = self.rng.integers(-128, 128, (tiles * rows, product.inputs))
        weights = self.rng.integers(-127, 128, (product.outputs, product.inputs)).astype(np.int8)
        values[0], weights[-1], factors = -128, self.rng.choice([-127, 127]), None
        multiplied = weights
        if product.bits == 4:
            weights >>= 4
            groups = ceil(product.inputs / GROUP)
            factors = self.rng.integers(1, 16, (product.outputs, groups)).astype(np.uint8)
            factors[-1] = 15
            multiplied = (weights * factors.repeat(GROUP, axis=1)[:, : product.inputs].astype(int)).astype(np.int8)
        beats = as_beats(values, rows, lanes)
        self.beats[f"sources__{p}"].append(beats)
        self.expected[f"sums__{p}"].append(as_beats(exact_matmul(values, multiplied.T), rows, lanes))
        return beats, weights, factors

    def _weights(self, unit: int, packed: np.ndarray) -> None:
        for c, channel in enumerate(packed):
            beats = [int.from_bytes(beat.tobytes(), "little") for beat in channel]
            self.beats[f"weights_{unit}__{c}"].append(np.array(beats, dtype=object))
