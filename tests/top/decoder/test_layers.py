"""The orders of a run, layer by layer, tile by tile, product by product."""

from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.top.decoder.layers import LayerOrders, ProductOrders, TileOrders

from ...harness import run_streams
from .designs import ODD, TINY


def layers_of(spec: DecoderSpec, tile: int, tiles: int, row: int, *, shared: bool) -> dict[str, np.ndarray]:
    """The layer orders of a run."""
    count = spec.max_layers
    constant = {"trace": 0, "shared": int(shared), "tile": tile, "tiles": tiles, "row": row}
    orders = {name: np.full(count, value) for name, value in constant.items()}
    number = np.arange(count)
    return orders | {"layer": number, "first": number == 0, "last": number == count - 1}


def joined(runs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Orders one behind the other."""
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


@pytest.mark.parametrize("spec", [TINY, ODD], ids=["tiny", "odd"])
@pytest.mark.parametrize("gaps", [None, 3])
def test_layers(spec: DecoderSpec, gaps: int | None) -> None:
    run = {
        "position": 5, "tokens": 7, "tile": 1, "tiles": 2, "row": 1, "last_row": 0, "k": 1, "shared": 0, "trace": 0,
        "restart": 0, "blocks": 2,
    }  # fmt: skip
    runs = {name: np.array([value, value]) for name, value in run.items()}
    expected = joined([layers_of(spec, 1, 2, 1, shared=False)] * 2)
    found = run_streams(LayerOrders(spec), {"runs": runs}, {"orders": 2 * spec.max_layers}, gaps=gaps)
    for name, values in expected.items():
        np.testing.assert_array_equal(found.outputs["orders"][name], values, name)


@pytest.mark.parametrize("spec", [TINY, ODD], ids=["tiny", "odd"])
@pytest.mark.parametrize("gaps", [None, 3])
def test_tiles_reach_as_far_as_their_keys(spec: DecoderSpec, gaps: int | None) -> None:
    # Texts of a prompt and tokens; the second goes on at a later tile at once, the third starts again.
    last = spec.max_tiles - 1
    runs = [(0, 3, 0), (2, 1, 1), (3, 1, 0), (0, 1, 0), (last, 1, 1), (0, spec.max_tiles, 0), (0, 2, 0)]
    layers = joined([layers_of(spec, *run, shared=run[1] == 1) for run in runs])
    expected = {"layer": [], "tile": [], "rows": [], "key_passes": [], "value_words": [], "tokens": [], "last": []}
    for first, tiles, row in runs:
        for layer in range(spec.max_layers):
            for tile in range(first, first + tiles):
                tokens = (tile + 1) * spec.rows
                rows = [r for r in range(spec.rows) if tile > first or r >= row]
                expected["layer"].append(layer)
                expected["tile"].append(tile)
                expected["rows"].append(sum(1 << r for r in rows))
                expected["key_passes"].append(ceil(tokens / spec.scores_unit.columns))
                expected["value_words"].append(ceil(tokens / spec.sums_unit.depth))
                expected["tokens"].append(tokens)
                expected["last"].append(tile == first + tiles - 1)
    found = run_streams(TileOrders(spec), {"layers": layers}, {"orders": len(expected["tile"])}, gaps=gaps)
    for name, values in expected.items():
        np.testing.assert_array_equal(found.outputs["orders"][name], values, name)


def test_a_tile_an_order_follows_the_other_without_a_pause() -> None:
    layers = layers_of(TINY, 0, TINY.max_tiles, 0, shared=False)
    found = run_streams(TileOrders(TINY), {"layers": layers}, {"orders": TINY.max_layers * TINY.max_tiles})
    steps = {int(after - before) for before, after in pairwise(found.accepted["orders"])}
    assert steps == {1, 2}  # a layer's first takes one cycle more


@pytest.mark.parametrize("gaps", [None, 3])
def test_products(gaps: int | None) -> None:
    runs = [layers_of(TINY, 0, 5, 0, shared=False), layers_of(TINY, 5, 1, 0, shared=True)]
    count = TINY.max_layers
    expected = [(0, 5)] * count + [(5, 1)] + [(p, 1) for _ in range(count) for p in (1, 2, 3, 4)] + [(5, 1)]
    together = [product - 1 for product, _ in expected if product]
    found = run_streams(
        ProductOrders(TINY), {"layers": joined(runs)}, {"orders": len(expected), "shared": len(together)}, gaps=gaps
    )
    orders = found.outputs["orders"]
    assert list(zip(orders["product"], orders["tiles"], strict=True)) == expected
    assert found.outputs["shared"] == together
