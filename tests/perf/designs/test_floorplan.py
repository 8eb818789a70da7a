"""Floorplans: nothing is lost, the order is kept, the SLRs are filled alike."""

from functools import cache

from hdl.model.load import load_network
from hdl.perf.choice.best_geometry import choose_geometry
from hdl.perf.designs.floorplan import Floorplan, floorplan
from hdl.perf.device import load_device
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.resources import Resources

U280 = load_device("u280")


@cache
def spec() -> PipelineSpec:
    return choose_geometry(load_network("bert-base"), 512, U280.resources)


@cache
def plan() -> Floorplan:
    found = floorplan(spec().units, spec().parameter_resources, 64, U280)
    assert found is not None
    return found


def test_everything_lies_somewhere_once() -> None:
    total = sum((part for region in plan().regions for part in region.values()), Resources())
    assert total == spec().resources


def test_units_keep_the_order_of_the_data() -> None:
    order = ["rest", *spec().units]
    places = [order.index(name) for region in plan().regions for name in region]
    assert places == sorted(places)


def test_slrs_are_filled_alike() -> None:
    assert max(plan().used) < 1.05 * min(plan().used)
    assert max(plan().used) < 0.8


def test_memory_channels_cross_to_the_upper_slrs() -> None:
    lower, upper = plan().crossings
    assert lower > upper > 0
    above = [name for name in spec().units if any(name in region for region in plan().regions[1:])]
    channels = sum(spec().linear(name).channels for name in above if name in ("qkv", "projection", "ffn1", "ffn2"))
    assert lower > 512 * channels


def test_what_does_not_fit_has_no_floorplan() -> None:
    tenth = [region.model_copy(update={"dsp": region.dsp // 10}) for region in U280.slrs]
    small = U280.model_copy(update={"slrs": tuple(tenth)})
    assert floorplan(spec().units, spec().parameter_resources, 64, small) is None
