"""Every constraint refuses a design that all others let pass, and says what is needed and what there is."""

from functools import cache

import pytest

from hdl.model.load import load_network
from hdl.perf.choice.best_geometry import choose_geometry
from hdl.perf.designs.constraints import binding, constraints
from hdl.perf.designs.floorplan import floorplan
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import Device, Memory, load_device

U280 = load_device("u280")
TOKENS = 192


@cache
def gpt2() -> SpatialDesign:
    """A design with its keys and values in memory."""
    return SpatialDesign(
        load_network("gpt2"), choose_geometry(load_network("gpt2"), TOKENS, U280.resources, cache_channels=1)
    )


def missed(device: Device, sequences: int = 1) -> list[str]:
    """The constraints that refuse the design."""
    found = constraints(gpt2(), device, tokens=TOKENS, sequences=sequences, clock_mhz=300)
    return [one.name for one in found if not one.met]


def with_little(name: str, planned: float) -> Device:
    """The U280 with 2 % less of a resource than the design needs within ``planned``, where the design needs it."""
    plan = floorplan(gpt2().units, gpt2().rest, 64, U280)
    assert plan is not None
    used = [sum(getattr(part, name) for part in region.values()) for region in plan.regions]
    counts = [int(use / planned / 1.02) for use in used]
    regions = [region.model_copy(update={name: count}) for region, count in zip(U280.slrs, counts, strict=True)]
    return U280.model_copy(update={"slrs": tuple(regions)})


def with_memory(**changes: float) -> Device:
    """The U280 with another memory."""
    memory: Memory = U280.memory.model_copy(update=changes)
    return U280.model_copy(update={"memories": (memory,)})


def test_all_are_met_on_the_device_it_was_made_for() -> None:
    assert missed(U280) == []


@pytest.mark.parametrize(
    ("resource", "constraint", "planned"),
    [
        ("dsp", "compute", 0.80),
        ("bram36", "block RAM", 0.80),
        ("uram", "UltraRAM", 0.80),
        ("lut", "logic", 0.70),
        ("ff", "registers", 0.50),
    ],
)
def test_resources(resource: str, constraint: str, planned: float) -> None:
    assert missed(with_little(resource, planned)) == [constraint]


def test_memory_capacity() -> None:
    assert missed(with_memory(capacity_gb=0.1)) == ["memory capacity"]
    assert missed(U280, sequences=4000) == ["memory capacity"]


def test_memory_ports() -> None:
    assert missed(with_memory(ports=gpt2().channels - 1)) == ["memory ports"]


def test_bandwidth() -> None:
    assert missed(with_memory(bandwidth_gb_s=10)) == ["prompt bandwidth"]


def test_the_budget_of_an_slr() -> None:
    # As much in all, but most of it in one SLR, whose neighbours then cannot hold a third of the data's way.
    regions = list(U280.slrs)
    third = [max(1, r // 10) for r in (regions[0].uram, regions[1].uram)]
    changed = [
        regions[0].model_copy(update={"uram": third[0]}),
        regions[1].model_copy(update={"uram": third[1]}),
        regions[2].model_copy(update={"uram": U280.resources.uram - sum(third)}),
    ]
    assert missed(U280.model_copy(update={"slrs": tuple(changed)})) == ["SLR budget"]


def test_crossings() -> None:
    assert missed(U280.model_copy(update={"crossings": 10_000})) == ["crossings"]


def test_the_one_missed_by_most_is_named_with_its_figures() -> None:
    device = with_memory(ports=4, bandwidth_gb_s=20)
    found = binding(constraints(gpt2(), device, tokens=TOKENS, sequences=1, clock_mhz=300))
    assert found is not None
    assert str(found) == f"memory ports: {gpt2().channels} ports needed, 4 available"
    assert binding(constraints(gpt2(), U280, tokens=TOKENS, sequences=1, clock_mhz=300)) is None
