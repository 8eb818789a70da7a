"""Figures of many points at once equal those of each, built through its specs."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from hdl.model.network import load_network
from hdl.perf.budget import shortfall
from hdl.perf.constraints import Constraint, binding, constraints
from hdl.perf.device import Region, load_device
from hdl.perf.estimate import estimate_design
from hdl.perf.exploration.energy import energy_proxy
from hdl.perf.exploration.evaluate import evaluate
from hdl.perf.exploration.point import Point
from hdl.perf.exploration.points import CONSTRAINTS, FIGURES, counts
from hdl.perf.exploration.space import Space
from hdl.perf.exploration.spatial.copies import screened_cycles
from hdl.perf.spec import PipelineSpec
from hdl.resources import Resources

REGIONS = ("SLR budget", "crossings")

ROOMY = load_device("u280").model_copy(
    update={"slrs": tuple([Region(dsp=40_000, bram36=9000, uram=9000, lut=10**7, ff=10**7)] * 3)}
)
"""A device on which nothing is refused for its resources."""

WORKLOADS = [("bert-base", 128, 0), ("minilm-l6", 33, 0), ("tiny-bert", 30, 0), ("gpt2", 40, 24), ("tiny-gpt2", 21, 9)]


@cache
def space(name: str, prompt: int, output: int) -> Space:
    return Space(network=load_network(name), device=ROOMY, prompt=prompt, output=output)


def scalar(where: Space, point: Point) -> dict[str, float]:
    """A point's figures, built through its spec."""
    design, spec = point.design, point.spec
    clock, device = point.clock_mhz * 1e6, where.device
    options: dict[str, Any] = {"prompt": where.prompt, "output": where.output, "clock_mhz": point.clock_mhz}
    if where.network.causal:
        one = estimate_design(design, device, **options)
        many = estimate_design(design, device, sequences=flight(spec, point.copies), **options)
        assert one.token is not None
        assert one.decode is not None
        first, token, cycles = one.first_token.seconds, one.token.seconds, one.prefill.cycles
        throughput, token_cycles = many.tokens_a_second, one.decode.cycles
    else:
        cycles = screened_cycles(spec, where.prompt, where.network.layers)
        taken = where.network.layers * design.layer_bytes
        bandwidth = 0.9 * (device.memory.bandwidth_gb_s * 1e9) / clock
        first, token, token_cycles = max(cycles, taken / bandwidth) / clock, 0.0, 0
        throughput = point.copies * where.prompt / (max(cycles, point.copies * taken / bandwidth) / clock)
    run = first + max(where.output - 1, 0) * token
    energy = energy_proxy(device, where.network, list(design.resources), point.clock_mhz, run)
    found = (first, token, throughput, energy, *design.resources, cycles, token_cycles)
    return dict(zip(FIGURES, found, strict=True))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_figures_are_those_of_the_specs(workload: tuple[str, int, int]) -> None:
    where = space(*workload)
    choices = where.draw(7, 0, 4000)[::100]
    found = evaluate(where, choices)
    assert found.refused.sum() + len(found.choices) == len(choices)
    assert len(found.choices) >= 20
    for choice, figures in zip(found.choices, found.figures, strict=True):
        expected = scalar(where, where.point(choice))
        given = dict(zip(FIGURES, figures.tolist(), strict=True))
        assert given == expected, where.values(choice)


@pytest.mark.parametrize("name", ["gpt2", "bert-base"])
def test_what_is_refused_is_refused_by_the_same_constraint(name: str) -> None:
    whole = Region(**vars(load_device("u50").resources))
    device = load_device("u50").model_copy(
        update={
            "slrs": (whole,),
            "memories": (load_device("u50").memory.model_copy(update={"bandwidth_gb_s": 25.0, "capacity_gb": 0.15}),),
        }
    )
    network = load_network(name)
    where = Space(network=network, device=device, prompt=32, output=16 if network.causal else 0)
    choices = where.draw(1, 0, 6000)[::100]
    fits, refused = Points(where, choices).constrained()
    names = set()
    for choice, fit, place in zip(choices, fits, refused, strict=True):
        point = where.point(choice)
        in_flight = flight(point.spec, point.copies)
        asked = constraints(
            point.design, device, tokens=32 + where.output, sequences=in_flight, clock_mhz=point.clock_mhz
        )
        missed = binding(checked(where, point, asked))
        assert fit == (missed is None)
        if missed is not None:
            assert CONSTRAINTS[place] == missed.name
            names.add(missed.name)
    assert len(names) >= 2


def checked(where: Space, point: Point, asked: list[Constraint]) -> list[Constraint]:
    """The constraints without those of the SLRs, and an encoder's bandwidth at its screened cycles."""
    found = []
    for one in asked:
        if one.name == "bandwidth" and not where.network.causal:
            prefill = point.design.prefill(where.prompt)
            drawn = prefill.bytes / screened_cycles(point.spec, where.prompt, where.network.layers)
            needed = drawn * point.clock_mhz * 1e6 / 1e9
            one = Constraint(name=one.name, needed=needed, available=one.available, unit=one.unit)
        if one.name not in REGIONS:
            found.append(one)
    return found


@pytest.mark.parametrize("workload", WORKLOADS[:2])
def test_screened_cycles_are_near_those_of_the_run(workload: tuple[str, int, int]) -> None:
    where = space(*workload)
    for choice in where.draw(3, 0, 4000)[::250]:
        spec = where.point(choice).spec
        run = spec.run_cycles(where.prompt, where.network.layers)
        assert 0.88 < screened_cycles(spec, where.prompt, where.network.layers) / run < 1.12


def test_points_are_the_same_for_the_same_seed_and_batch() -> None:
    where = space("tiny-bert", 30, 0)
    first = where.draw(1, 5, 100)
    assert (first == where.draw(1, 5, 100)).all()
    assert (first != where.draw(1, 6, 100)).any()
    assert (first != where.draw(2, 5, 100)).any()
    assert (first >= 0).all()
    assert (first < np.stack([np.broadcast_to(n, 100) for n in where.sizes(first[:, 0])], axis=1)).all()


def test_a_point_comes_back_from_its_dictionary() -> None:
    for workload in (("tiny-bert", 30, 0), ("tiny-gpt2", 21, 9)):
        where = space(*workload)
        point = where.point(where.draw(0, 0, 1)[0])
        assert Point.from_dict(point.as_dict(), "x") == point


def test_all_points_of_a_small_space_are_counted() -> None:
    where = space("tiny-bert", 30, 0)
    assert where.size == sum(
        int(np.prod([int(n) for n in where.sizes(g)[1:]])) for g in range(len(where.tables.groups))
    )
    points = next(where.enumerate(1000))
    assert len(np.unique(points, axis=0)) == 1000


def test_resources_of_a_point_are_a_resources() -> None:
    where = space("tiny-bert", 30, 0)
    spec: PipelineSpec = where.point(where.draw(0, 0, 1)[0]).spec
    assert (counts(spec.resources) == np.array(list(spec.resources))).all()
    assert shortfall(Resources(), ROOMY.resources) is None
