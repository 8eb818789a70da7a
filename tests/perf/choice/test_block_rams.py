"""Units whose URAMs are made of block RAM: which they are, and what they then take."""

from dataclasses import replace
from itertools import chain, combinations

import pytest

from hdl.kernels.linear import Linear
from hdl.kernels.scores import Scores
from hdl.model.load import load_model
from hdl.perf.choice.block_rams import with_room
from hdl.perf.choice.built import plan
from hdl.perf.designs.budget import PLANNED, shortfall
from hdl.perf.device import load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles
from hdl.resources import Resources
from hdl.top.decoder.ends import Loop

from ...synthesis import synthesise
from ...top.decoder.designs import DEEP, MOVED
from ...top.decoder.simulations import sources, started, words
from ...top.decoder.test_decoder_pipeline import check


def device(uram: float, bram36: float) -> Resources:
    """A device of which so many RAMs are planned, and of which all else is plenty."""
    plenty = 10**9
    return Resources(
        dsp=plenty, lut=plenty, ff=plenty, uram=round(uram / PLANNED["uram"]), bram36=bram36 / PLANNED["bram36"]
    )


def moved(names: tuple[str, ...]) -> DecoderSpec:
    return replace(DEEP, block_rams=names)


SUBSETS = [moved(names) for names in chain.from_iterable(combinations(DEEP.movable, count) for count in range(1, 10))]
"""All that can be moved, each made anew."""


def test_as_it_is_where_nothing_is_short() -> None:
    available = device(DEEP.resources.uram + 1, DEEP.resources.bram36 + 1000)
    assert with_room(DEEP, available) is DEEP


@pytest.mark.parametrize("share", [0.98, 0.8, 0.6, 0.3, 0.02])
def test_no_choice_of_units_takes_fewer_blocks(share: float) -> None:
    present = DEEP.resources
    available = device(share * present.uram, present.bram36 + 1000)
    found = with_room(DEEP, available)
    assert shortfall(found.resources, available) is None
    enough = [spec.resources.bram36 for spec in SUBSETS if shortfall(spec.resources, available) is None]
    assert found.resources.bram36 == min(enough)
    assert found == replace(DEEP, block_rams=found.block_rams)
    assert found == with_room(DEEP, available)
    # None in vain: every single one is needed.
    for name in found.block_rams:
        others = tuple(one for one in found.block_rams if one != name)
        assert shortfall(moved(others).resources, available) is not None


def test_as_it_is_where_block_ram_does_not_suffice() -> None:
    present = DEEP.resources
    for available in (device(present.uram - 1, present.bram36 + 1), device(present.uram + 1, present.bram36 - 1)):
        assert with_room(DEEP, available) is DEEP


def test_units_that_are_moved_already_stay_so_and_others_follow() -> None:
    some = moved(("qkv",))
    available = device(some.resources.uram - 1, some.resources.bram36 + 1000)
    found = with_room(some, available)
    assert found.block_rams[0] == "qkv"
    assert len(found.block_rams) > 1
    assert shortfall(found.resources, available) is None


def test_all_urams_of_a_unit_become_blocks_and_nothing_else_changes() -> None:
    for name in DEEP.movable:
        before, after = DEEP.units[name].resources, moved((name,)).units[name].resources
        if before.uram:
            assert after.uram == 0, name
            assert after.bram36 > before.bram36, name
        assert replace(after, uram=0, bram36=0) == replace(before, uram=0, bram36=0), name
        rest = {unit: spec for unit, spec in DEEP.units.items() if unit != name}
        assert {unit: spec for unit, spec in moved((name,)).units.items() if unit != name} == rest
    assert moved(DEEP.movable).resources.uram == 0
    assert {name for name in DEEP.movable if DEEP.units[name].resources.uram} >= {"loop", "qkv", "scores", "sums"}


def test_units_without_urams_keep_their_rams() -> None:
    small = replace(DEEP, max_length=4, max_layers=1)
    style = small.residual("residual2").style
    assert style != "ultra"
    assert replace(small, block_rams=("residual2",)).residual("residual2").style == style


@pytest.mark.parametrize(
    ("name", "max_length", "in_blocks", "on_chip"),
    [("gpt2-medium", 256, True, True), ("gpt2", 192, False, True), ("gpt2", 1024, True, False)],
)
def test_keys_and_values_stay_on_chip_where_block_ram_makes_room(
    name: str, max_length: int, in_blocks: bool, on_chip: bool
) -> None:
    u280 = load_device("u280")
    spec = plan(load_model(name), u280, max_length=max_length)
    assert isinstance(spec, DecoderSpec)
    assert spec.cache_on_chip == on_chip
    assert bool(spec.block_rams) == in_blocks
    assert shortfall(spec.resources, u280.resources) is None
    # The plan needs them: without, URAM is short.
    assert (shortfall(replace(spec, block_rams=()).resources, u280.resources) is not None) == in_blocks


def test_other_units_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        moved(("activation",))
    assert str(error.value) == (
        "decoder block_rams must be of loop, residual1, residual2, qkv, projection, ffn1, ffn2, scores, sums, "
        "not 'activation'"
    )


def test_blocks_are_those_of_synthesis() -> None:
    components = {
        "loop": Loop(MOVED),
        "projection": Linear(MOVED.linear("projection")),
        "scores": Scores(MOVED.scores_unit),
    }
    for name, found in zip(components, synthesise(*components.values()), strict=True):
        needed = MOVED.units[name].resources
        assert needed.bram36 > 0, name
        assert (found.bram36, found.uram, found.dsp) == (needed.bram36, 0, needed.dsp), name


def test_moved_units_compute_the_same_in_the_cycles_that_are_counted() -> None:
    # What is emitted has URAM of one kind only: the weights of the unit that stays.
    stays = MOVED.linear("ffn1").array.ram
    emitted = [text for text in sources(MOVED).values() if 'ram_style = "ultra"' in text]
    assert stays.style == "ultra"
    assert len(emitted) == 1
    assert f"reg [{stays.width - 1}:0] memory [{stays.depth - 1}:0]" in emitted[0]
    with started(MOVED, IDEAL) as simulation:
        some = words(MOVED, 9, seed=3)
        check(simulation, [[some[:5], some[5:6], some[6:]], [some[:1], some[1:2]]])
        for k, (count, restart) in enumerate(((5, True), (3, False), (14, True)), start=1):
            run = simulation.run(words(MOVED, count, k), restart=restart, k=k)
            assert run.cycles == counted_decoder_cycles(MOVED, count, run.position - count, IDEAL, k)
            assert run.cycles == counted_decoder_cycles(DEEP, count, run.position - count, IDEAL, k)
