"""Row gather: every token in its row, copies where there is none, and a tile on its way while its last token comes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.kernels.rowgather import RowGather, RowGatherSpec
from sim.streams import Deadlock

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .tensors import as_beats

SPEC = RowGatherSpec(rows=2, lanes=1, width=1, features=5, positions=32)
SPECS = {
    "one lane": SPEC,
    "odd lanes, the last word not full": replace(SPEC, rows=4, lanes=3, width=6, features=15),
    "power of two, in block RAM": replace(SPEC, rows=4, lanes=2, width=4, features=160),
    "one row, one word": replace(SPEC, rows=1, lanes=4, width=8, features=8),
}
# First position and tokens: single ones in all places, tiles not filled, tiles not begun at their start.
RUNS = [(0, 1), (1, 1), (3, 1), (5, 6), (0, 9), (31, 1), (2, 2), (7, 9), (8, 8)]


def run(spec: RowGatherSpec, runs: list[tuple[int, int]], seed: int, **options: Any) -> StreamResult:
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(-(1 << 15), 1 << 15, (count, spec.features)) for _, count in runs]
    padding = spec.words * spec.width - spec.features
    words = np.concatenate([as_beats(np.pad(some, ((0, 0), (0, padding))), 1, spec.width) for some in tokens])
    tiles = [
        as_beats(spec.reference(some, start), spec.rows, spec.lanes)
        for some, (start, _) in zip(tokens, runs, strict=True)
    ]
    starts, counts = np.array(runs).T
    inputs = {"runs": {"position": starts, "tokens": counts}, "tokens": words}
    result = run_streams(RowGather(spec), inputs, {"tiles": sum(map(len, tiles))}, **options)
    np.testing.assert_array_equal(result.outputs["tiles"], np.concatenate(tiles))
    return result


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_tiles_equal_the_reference(spec: RowGatherSpec, gaps: int | None) -> None:
    run(spec, RUNS, seed=1, gaps=gaps)


@pytest.mark.parametrize("spec", list(SPECS.values())[:3], ids=list(SPECS)[:3])
def test_emitted_verilog_equals_the_reference(spec: RowGatherSpec) -> None:
    run(spec, RUNS[:6], seed=2, gaps=2, simulator="verilator")


def test_a_reset_starts_anew() -> None:
    run(SPEC, RUNS, seed=2, gaps=3, reset_at=120)


def test_rows_without_a_token_carry_copies() -> None:
    spec = replace(SPEC, rows=4)
    tokens = np.arange(20).reshape(4, 5)
    assert spec.reference(tokens, 6)[:, 0].tolist() == [0, 0, 0, 5, 10, 15, 15, 15]
    assert spec.reference(tokens[:1], 3)[:, 0].tolist() == [0] * 4


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_latency_and_cycles_are_the_specs(spec: RowGatherSpec) -> None:
    result = run(spec, [(0, 5 * spec.rows)], seed=3)
    assert result.latency("tokens", "tiles", beat=(spec.rows - 1) * spec.words) == spec.latency
    starts = result.accepted["tiles"][:: spec.features // spec.lanes]
    # The first tile leaves sooner where sending takes longer than what comes in: the memory then fills up.
    assert (np.diff(starts[1:]) == spec.cycles()).all()


def test_a_tile_is_gathered_while_another_waits() -> None:
    words = np.zeros((8 * SPEC.words, 1, 1), dtype=np.int64)
    runs = {"position": [0], "tokens": [8]}
    read_ahead = SPEC.ram.latency + 4  # in the buffer behind the memory, and in the beats'
    held = 2 * SPEC.rows * SPEC.words
    run_streams(RowGather(SPEC), {"tokens": words[:held], "runs": {"position": [0], "tokens": [4]}}, {})
    # What is read ahead of the first tile is more than its words: a third one is begun, and no fourth.
    assert SPEC.words < read_ahead < 2 * SPEC.words
    with pytest.raises(Deadlock) as error:
        run_streams(RowGather(SPEC), {"tokens": words, "runs": runs}, {}, timeout=50)
    assert f"input tokens has {len(words) - held - SPEC.rows * SPEC.words} of" in str(error.value)


def test_resources_are_those_of_synthesis() -> None:
    specs = [SPECS["power of two, in block RAM"], SPECS["odd lanes, the last word not full"]]
    assert_mapped((RowGather(spec), spec.resources) for spec in specs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "row gather rows must be at least 1, not 0"),
        ({"positions": 0}, "row gather positions must be at least 1, not 0"),
        ({"rows": 6}, "row gather rows must be a power of two, not 6"),
        ({"lanes": 2, "width": 2}, "row gather features must be a multiple of 2 lanes, not 5"),
        ({"lanes": 5}, "row gather width must be a multiple of 5 lanes, not 1"),
    ],
)
def test_impossible_specs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(SPEC, **changes)
    assert str(error.value) == message
