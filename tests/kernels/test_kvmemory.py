"""Keys and values in off-chip memory: what is stored and what is loaded, and attention over both."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

from hdl.kernels.kvload import Load
from hdl.kernels.kvmemory import KvMemorySpec
from hdl.kernels.kvstore import Store
from hdl.kernels.scores import ScoresSpec
from hdl.kernels.weightedsum import WeightedSumsSpec
from hdl.perf.memory_timing import MemoryTiming
from sim.memory import MemoryChannel

from ..harness import run_streams
from ..synthesis import assert_resources, synthesise
from .kvbench import LoadBench, Loaded, StoreBench
from .tensors import as_beats, by_head, padded
from .test_kvcache import Cache, Step, order

LATENCY = 8
PROMPT = MemoryTiming(latency=LATENCY)
SLOW = MemoryTiming(rate=Fraction(3, 4), latency=23, activation=4, refresh=9, refresh_interval=100, late=40, seed=2)

SCORES = ScoresSpec(
    rows=2, heads=2, head_size=16, max_length=40, columns=16, cascades=1, lanes_in=1, lanes_stored=1, lanes=2,
    layers=2, channels=2,
)  # fmt: skip
SUMS = WeightedSumsSpec(
    rows=2, heads=2, head_size=16, max_length=40, columns=16, cascades=1, lanes_in=1, lanes_stored=1, lanes=2,
    layers=2, channels=2,
)  # fmt: skip
UNITS: dict[str, ScoresSpec | WeightedSumsSpec] = {
    "keys": SCORES,
    "keys, two groups, cascades": replace(
        SCORES, channels=1, cascades=2, rows=4, lanes_stored=4, lanes_in=4, heads=1, max_length=36
    ),
    "keys, eight rows": replace(SCORES, columns=8, rows=8, channels=1, lanes_stored=8, heads=3, head_size=8),
    "keys, three banks": replace(SCORES, layers=3),
    "values": SUMS,
    "values, several passes, cascades": replace(
        SUMS, columns=8, channels=1, cascades=3, lanes_in=3, rows=4, lanes_stored=2, head_size=24, max_length=52
    ),
    "values, two groups, four banks": replace(
        SUMS, layers=4, channels=1, head_size=32, lanes_stored=8, heads=1, max_length=26
    ),
}
LAYERS = 3
MEMORIES = {name: KvMemorySpec(unit=unit, layers=LAYERS, latency_cycles=LATENCY) for name, unit in UNITS.items()}
HOW = [("amaranth", None), ("amaranth", 3)]


def channels(contents: np.ndarray, timing: MemoryTiming = PROMPT) -> list[MemoryChannel]:
    """Memory channels with contents [channels, beats, 64]."""
    return [MemoryChannel(f"m__{index}", one, timing=timing) for index, one in enumerate(contents)]


def random_tokens(spec: KvMemorySpec, count: int, seed: int) -> np.ndarray:
    """Keys or values, int8 [layers, tokens, hidden]."""
    return np.random.default_rng(seed).integers(-127, 128, (LAYERS, count, spec.unit.heads * spec.unit.head_size))


@pytest.mark.parametrize(("simulator", "gaps"), HOW)
@pytest.mark.parametrize("spec", MEMORIES.values(), ids=MEMORIES)
def test_rows_are_stored_and_nothing_else(spec: KvMemorySpec, simulator: Any, gaps: int | None) -> None:
    unit = spec.unit
    whole, last = (1 << unit.rows) - 1, unit.max_tiles - 1
    steps = [(layer, 2, 1 << row) for layer in (2, 0) for row in (0, unit.rows - 1)]
    steps += [(layer, tile, whole) for layer in range(LAYERS) for tile in (0, 1, last)]
    before, new = random_tokens(spec, unit.max_length, 1), random_tokens(spec, unit.max_length, 2)
    after, tiles = before.copy(), []
    for layer, tile, rows in steps:
        own = slice(tile * unit.rows, (tile + 1) * unit.rows)
        kept = np.array([rows >> row & 1 for row in range(unit.rows)], bool)
        after[layer, own][kept] = new[layer, own][kept]
        tiles.append(as_beats(new[layer, own], unit.rows, unit.lanes_stored))
    held = spec.pack(before)
    inputs = {
        "order": [{"layer": layer, "tile": tile, "rows": rows, "last": tile == last} for layer, tile, rows in steps],
        "tiles": np.concatenate(tiles),
    }
    for timing in (MemoryTiming(), SLOW):
        run_streams(
            StoreBench(spec), inputs, {"kept": 1}, memories=channels(held, timing),
            simulator=simulator, gaps=gaps,
        )  # fmt: skip
        np.testing.assert_array_equal(held, spec.pack(after))


def placed(spec: KvMemorySpec, tokens: np.ndarray, layer: int, bank: int, count: int) -> list[set]:
    """By channel, (address, group, cascade, beat) of what is loaded into a bank of a layer's first tokens."""
    unit, banks, held = spec.unit, spec.banks, spec.pack(tokens)
    found: list[set[tuple[int, int, int, int]]] = [set() for _ in range(spec.channels)]
    for block in range(ceil(count / 8)):
        for chunk in range(spec.chunks):
            head, part = divmod(chunk, unit.head_size // 8)
            column, term = (block, part) if spec.keys else (part, block)
            turn, group = divmod(column, unit.columns // 8)
            word, cascade = divmod(term, unit.cascades)
            address = bank * banks.bank_stride + head * banks.head_stride + turn * banks.pass_stride + word
            channel, place = spec.place(layer, block, chunk)
            assert channel == group % spec.channels
            beat = int.from_bytes(held[channel, place].tobytes(), "little")
            found[channel].add((address, group // spec.channels, cascade, beat))
    return found


@pytest.mark.parametrize(("simulator", "gaps"), HOW)
@pytest.mark.parametrize("spec", MEMORIES.values(), ids=MEMORIES)
def test_blocks_are_loaded_to_their_places(spec: KvMemorySpec, simulator: Any, gaps: int | None) -> None:
    tokens = random_tokens(spec, spec.unit.max_length, 3)
    counts = [0, 1, 17, spec.unit.max_length, 9]
    layers = [index % LAYERS for index in range(len(counts))]
    banks = [index % spec.banks.banks for index in range(len(counts))]
    wanted = [placed(spec, tokens, *one) for one in zip(layers, banks, counts, strict=True)]
    sizes = [[len(one[channel]) for one in wanted] for channel in range(spec.channels)]
    inputs = {"order": {"layer": layers, "blocks": [ceil(count / 8) for count in counts]}, "released": [0] * 4}
    outputs = {f"blocks__{channel}": sum(size) for channel, size in enumerate(sizes)}
    result = run_streams(
        LoadBench(spec), inputs, outputs, memories=channels(spec.pack(tokens)), simulator=simulator, gaps=gaps
    )
    for channel, size in enumerate(sizes):
        blocks = result.outputs[f"blocks__{channel}"]
        found = list(zip(*(blocks[name] for name in ("address", "group", "cascade", "beat")), strict=True))
        for one, start, count in zip(wanted, np.cumsum([0, *size]), size, strict=False):
            assert set(found[start : start + count]) == one[channel]
    read = sum(use.read for use in result.memory.values())
    assert read == sum(spec.bytes_read(count) for count in counts)


@pytest.mark.parametrize("spec", MEMORIES.values(), ids=MEMORIES)
def test_a_layer_comes_at_a_beat_a_cycle(spec: KvMemorySpec) -> None:
    count = spec.unit.max_length
    inputs = {"order": [{"layer": 0, "blocks": spec.blocks}]}
    outputs = {f"blocks__{channel}": spec.own_blocks(spec.blocks, channel) * spec.block_beats
               for channel in range(spec.channels)}  # fmt: skip
    result = run_streams(LoadBench(spec), inputs, outputs, memories=channels(spec.pack(random_tokens(spec, count, 3))))
    assert max(outputs.values()) == spec.cycles(count)
    taken = result.accepted["blocks__0"]
    assert taken[-1] - taken[0] == spec.cycles(count) - 1
    assert taken[0] == spec.load_latency


def runs(spec: KvMemorySpec) -> Iterator[tuple[int, list[Step]]]:
    """Earlier tokens, and the steps of a run through all layers."""
    rows = spec.unit.rows
    whole = (1 << rows) - 1
    for start, count in ((0, 2 * rows), (11, 1), (8, 1), (13, 2 * rows + 1), (spec.unit.max_length - 1, 1)):
        tiles = range(start // rows, (start + count - 1) // rows + 1)
        written = dict.fromkeys(tiles, whole) | {tiles[0]: whole & whole << start % rows}
        if count == 1:
            written[tiles[0]] = 1 << start % rows
        yield start, [(layer, tile, written[tile]) for layer in range(LAYERS) for tile in tiles]


@pytest.mark.parametrize("gaps", [None, 3])
@pytest.mark.parametrize("spec", MEMORIES.values(), ids=MEMORIES)
def test_attention_sees_earlier_and_new_tokens(spec: KvMemorySpec, gaps: int | None) -> None:
    unit, rng = spec.unit, np.random.default_rng(4)
    hidden = unit.heads * unit.head_size
    for start, steps in runs(spec):
        earlier = random_tokens(spec, start, 5)
        cache = Cache(replace(unit, layers=LAYERS, channels=0))
        cache.stored[:, :start], cache.written[:, :start] = earlier, True
        given: dict[str, list[np.ndarray]] = {"stored": [], "activations": []}
        expected, valid = [], []
        for step in steps:
            tile = rng.integers(-127, 128, (unit.rows, hidden))
            seen = cache.append(step, tile)
            written = cache.written[step[0], : len(seen)]
            if isinstance(unit, ScoresSpec):
                query = rng.integers(-127, 128, (unit.rows, hidden))
                scores = unit.reference(query, seen)
                given["activations"].append(as_beats(query, unit.rows, unit.lanes_in))
                for beats, tensor in ((expected, scores), (valid, np.broadcast_to(written, scores.shape))):
                    beats.append(by_head(padded(tensor, unit.columns, 2, 0), unit.rows, unit.lanes))
            else:
                weights = rng.integers(0, 128, (unit.heads, unit.rows, len(seen))) * written
                given["activations"].append(by_head(padded(weights, unit.depth, 2, 0), unit.rows, unit.lanes_in))
                expected.append(as_beats(unit.reference(weights, seen), unit.rows, unit.lanes))
                valid.append(np.ones_like(expected[-1], bool))
            given["stored"].append(as_beats(tile, unit.rows, unit.lanes_stored))
        last = max(tile for _, tile, _ in steps)
        inputs: dict[str, Any] = {name: np.concatenate(beats) for name, beats in given.items()}
        inputs["layers"] = [{"layer": layer, "blocks": ceil(start / 8)} for layer in range(LAYERS)]
        inputs["order"] = [order(unit, step) | {"last": step[1] == last} for step in steps]
        wanted = np.concatenate(expected)
        memories = channels(spec.pack(earlier), PROMPT if gaps is None else SLOW)
        result = run_streams(
            Loaded(spec), inputs, {"sums": len(wanted)}, memories=memories, simulator="verilator", gaps=gaps
        )
        which = np.concatenate(valid).astype(bool)
        np.testing.assert_array_equal(result.outputs["sums"][which], wanted[which])


LARGE = {"rows": 2, "heads": 4, "head_size": 64, "max_length": 512, "layers": 2, "lanes_stored": 2, "lanes": 2}


def test_resources_are_those_of_synthesis() -> None:
    keys = ScoresSpec(columns=16, cascades=1, lanes_in=2, channels=2, **LARGE)
    values = WeightedSumsSpec(columns=8, cascades=2, lanes_in=2, channels=1, **LARGE)
    memories = [KvMemorySpec(unit=unit, layers=12, latency_cycles=40) for unit in (keys, values)]
    ports = [port for spec in memories for port in (Load(spec), Store(spec))]
    # bench/units.py has the units with loaded keys and with loaded values.
    load_keys, store_keys, load_values, store_values = synthesise(*ports)
    for spec, memory in zip(memories, (load_keys + store_keys, load_values + store_values), strict=True):
        assert_resources(spec.resources, memory, about=spec)


def test_a_cache_that_is_all_on_chip_has_no_memory() -> None:
    with pytest.raises(ValueError) as error:
        KvMemorySpec(unit=replace(SCORES, channels=0), layers=3, latency_cycles=8)
    assert str(error.value) == "memory of keys or values must have a unit with channels, not 0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 3}, "attention channels must be 0, 1, 2, 4 or 8, not 3"),
        ({"layers": 1}, "attention with channels must have 2 layers or more, not 1"),
        (
            {"columns": 8},
            "attention columns must be a multiple of 8 for each of its 2 channels, not 8",
        ),
    ],
)
def test_impossible_units_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SCORES, **change)
    assert str(error.value) == message


def test_the_example_of_the_module() -> None:
    spec = KvMemorySpec(unit=replace(SCORES, max_length=32), layers=2, latency_cycles=LATENCY)
    assert (spec.blocks, spec.chunks, spec.layer_beats) == (4, 4, 8)
    assert spec.place(layer=1, block=3, chunk=1) == (1, 13)
