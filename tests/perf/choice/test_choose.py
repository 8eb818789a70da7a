"""The chooser against all there is, in small spaces that can be enumerated; its parts."""

from collections.abc import Iterator

import numpy as np
import pytest

from hdl.model.load import load_network
from hdl.model.network import Network
from hdl.perf.choice.best_geometry import choose_geometry
from hdl.perf.choice.climb import allowed, climb
from hdl.perf.choice.one_pace import TOLERANCE, balanced
from hdl.perf.designs.budget import shortfall
from hdl.perf.designs.spatial_design import prompt_cycles
from hdl.perf.device import Device, Region, load_device
from hdl.perf.exploration.evaluate import evaluate
from hdl.perf.exploration.pareto import nondominated
from hdl.perf.exploration.spatial.spatial_space import SpatialSpace
from hdl.perf.geometry.arrays import ArrayShape
from hdl.perf.geometry.pipeline_spec import PipelineSpec

from ...model.networks import bert, gpt2

ROWS = 4

SHARE = 1.03
"""How much slower than the best the chosen geometry may be."""

RUN = 250
"""Points of the least screened cycles that are run tile by tile."""


def network(hidden: int, heads: int, intermediate: int, family: str) -> Network:
    of, vocabulary = (bert, 100) if family == "bert" else (gpt2, 64)
    sizes = {"hidden": hidden, "heads": heads, "intermediate": intermediate, "vocabulary": vocabulary}
    return of("small", layers=2, max_positions=512, **sizes)


def device(dsp: int) -> Device:
    """A device with so many DSPs, and in proportion of the rest what large ones have."""
    region = Region(dsp=dsp, bram36=100 + dsp // 2, uram=20 + dsp // 4, lut=150 * dsp, ff=300 * dsp)
    return load_device("u280").model_copy(update={"slrs": (region,)})


def worthwhile(space: SpatialSpace, group: int, name: str) -> np.ndarray:
    """An array's options that no other equals or beats in every figure there is of it."""
    options = space.tables.options[name]
    part = slice(options.start[group], options.start[group] + options.size[group])
    figures = [options.cycles[part], options.resources[part].reshape(options.size[group], -1)]
    figures += [options.latency[part].reshape(options.size[group], -1), -options.cascades[part, None]]
    if name in ("scores", "sums"):
        tiles = [options.tiles[part], options.softmax[part], options.softmax_tiles[part]]
        figures = [*figures[:3], *(one.reshape(options.size[group], -1) for one in tiles)]
        # What softmax takes depends on the cascades of the sums, so that none beats another.
        figures += [options.rows[part], options.cascades[part, None], -options.cascades[part, None]]
    else:
        figures = figures[:3]
    costs = np.concatenate(figures, axis=1)
    rows, first = np.unique(costs, axis=0, return_index=True)
    return np.asarray(first[nondominated(rows)])


def everything(space: SpatialSpace) -> Iterator[np.ndarray]:
    """All points with tiles of `ROWS` and two layers' weights, but for options that are beaten in everything."""
    for group, (rows, *_) in enumerate(space.tables.groups):
        if rows != ROWS:
            continue
        axes = [worthwhile(space, group, name) for name in space.arrays]
        mesh = np.stack([each.reshape(-1) for each in np.meshgrid(*axes, indexing="ij")], axis=1)
        points = np.zeros((len(mesh), len(space.axes)), dtype=np.int64)
        points[:, 0] = group
        points[:, 1 : 1 + len(space.arrays)] = mesh
        points[:, space.axes.index("weight_layers")] = 1
        points[:, space.axes.index("clock")] = len(space.clocks) - 1
        if space.network.causal:
            points[:, space.axes.index("cache")] = 1
        for start in range(0, len(points), 1 << 15):
            yield points[start : start + (1 << 15)]


def best_of_all(space: SpatialSpace) -> int:
    """Cycles of the best of all points, those of the least screened cycles run tile by tile."""
    least = []
    for points in everything(space):
        found = evaluate(space, points)
        order = np.argsort(found.figures[:, 0], kind="stable")[:RUN]
        least += list(zip(found.figures[order, 0], found.choices[order], strict=True))
    least.sort(key=lambda one: one[0])
    tokens, layers = space.prompt, space.network.layers
    return min(prompt_cycles(space.point(choice).spec, tokens, layers) for _, choice in least[:RUN])


@pytest.mark.parametrize(
    ("shape", "length", "dsps"),
    [
        ((16, 2, 32, "bert"), 128, 1200), ((32, 2, 64, "bert"), 32, 2400),
        ((32, 2, 64, "bert"), 128, 600), ((32, 2, 64, "bert"), 128, 1200), ((32, 1, 64, "gpt2"), 32, 2400),
        ((32, 1, 64, "gpt2"), 128, 600),
    ],
)  # fmt: skip
def test_the_chosen_geometry_is_near_the_best_of_all(shape: tuple[int, int, int, str], length: int, dsps: int) -> None:
    small, board = network(*shape), device(dsps)
    best = best_of_all(SpatialSpace(network=small, device=board, prompt=length, output=0))
    chosen = choose_geometry(small, length, board.resources, rows=ROWS, cache_channels=1)
    assert shortfall(chosen.resources, board.resources) is None
    assert prompt_cycles(chosen, length, small.layers) <= SHARE * best


def test_of_geometries_about_as_good_the_smaller_is_taken() -> None:
    filling, board = load_network("gpt2"), load_device("u280")

    def cost(spec: PipelineSpec) -> float:
        return prompt_cycles(spec, 128, filling.layers)

    start = balanced(filling, 128, board.resources, cost, rows=8, channels=24, cache_channels=1)
    climbed = climb(filling, start, board.resources, cost, channels=24)
    chosen = choose_geometry(filling, 128, board.resources, rows=8, cache_channels=1)
    assert cost(start) <= TOLERANCE * cost(climbed)
    assert chosen == start


def test_a_cost_of_its_own_is_followed() -> None:
    small, board = network(32, 1, 64, "gpt2"), device(600)
    fastest = choose_geometry(small, 64, board.resources, rows=ROWS)
    smallest = choose_geometry(small, 64, board.resources, rows=ROWS, cost=lambda spec: spec.resources.dsp)
    assert smallest.resources.dsp < fastest.resources.dsp
    assert prompt_cycles(smallest, 64, 2) > prompt_cycles(fastest, 64, 2)


def test_a_climb_ends_where_nothing_fits_that_gains() -> None:
    small, board = network(16, 2, 32, "bert"), device(600)

    def cost(spec: PipelineSpec) -> float:
        return prompt_cycles(spec, 32, small.layers)

    start = balanced(small, 32, board.resources, cost, rows=ROWS, channels=24, cache_channels=1)
    climbed = climb(small, start, board.resources, cost, channels=24)
    assert cost(climbed) < cost(start)
    assert climb(small, climbed, board.resources, cost, channels=24) == climbed
    # With no more than it has, planned shares of it, nothing larger fits.
    assert climb(small, start, start.resources, cost, channels=24).resources.dsp <= start.resources.dsp


def test_a_step_shares_the_channels_out_anew() -> None:
    network, board = load_network("gpt2-medium"), load_device("u280")
    start = balanced(
        network, 192, board.resources, lambda spec: spec.resources.dsp, rows=2, channels=27, cache_channels=1
    )
    wider = start.arrays["projection"]._replace(columns=2 * start.arrays["projection"].columns)
    (step,) = allowed(start, 27, start.arrays | {"projection": wider})
    assert step.arrays["projection"] == wider
    assert sum(step.channels) <= 27
    # No channel feeds twice as many RAMs as before.
    shares = [unit.columns * unit.cascades / own for unit, own in zip(linear(step), step.channels, strict=True)]
    before = [unit.columns * unit.cascades / own for unit, own in zip(linear(start), start.channels, strict=True)]
    assert max(shares) < 1.5 * max(before)
    assert step.channels[1] > start.channels[1]


def linear(spec: PipelineSpec) -> list[ArrayShape]:
    return [spec.arrays[name] for name in spec.products]
