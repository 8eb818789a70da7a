"""The FIFOs of a decoder: with the computed depths a long prompt is as quick as with more; with less it is slower, or
waits for itself."""

from dataclasses import fields, replace
from functools import cache

import pytest

from hdl.memory import ReplaySpec
from hdl.model.architecture import Add
from hdl.perf.builtdecoder import BuiltDecoderSpec
from hdl.top.decoder.image import build_decoder_image
from sim.decoder import DecoderSimulation
from sim.streams import Deadlock

from .designs import SMALL
from .simulations import model_of, sources, words

LONG = replace(SMALL, max_length=64, max_layers=2)
"""More tiles than are computed to lie between a fork and its addition."""


class Deep(BuiltDecoderSpec):
    """A decoder whose tiles find more room at both additions."""

    def tiles_in_branch(self, add: Add) -> int:
        return super().tiles_in_branch(add) + 4


class ShallowAttention(BuiltDecoderSpec):
    """A decoder with room for one tile at its first addition."""

    def tiles_in_branch(self, add: Add) -> int:
        return 1 if add.name == "residual1" else super().tiles_in_branch(add)


class ShallowFeedForward(BuiltDecoderSpec):
    """A decoder with room for one tile at its second addition."""

    def tiles_in_branch(self, add: Add) -> int:
        return 1 if add.name == "residual2" else super().tiles_in_branch(add)


class ShallowLoop(BuiltDecoderSpec):
    """A decoder with room for one tile on its way back."""

    @property
    def loop(self) -> ReplaySpec:
        return replace(super().loop, depth=self.tile_beats, max_length=self.tile_beats)


@cache
def cycles(kind: type[BuiltDecoderSpec]) -> int:
    """Cycles of the longest prompt."""
    spec = kind(**{field.name: getattr(LONG, field.name) for field in fields(LONG)})
    image = build_decoder_image(model_of(LONG), spec)
    with DecoderSimulation.verilated(spec, sources(spec), image, threads=1, optimise="-O0") as simulation:
        return simulation.run(words(LONG, LONG.max_length, seed=3), restart=True).cycles


def test_deeper_fifos_are_no_faster() -> None:
    assert LONG.max_tiles > max(map(LONG.tiles_in_branch, LONG.layer.of(Add)))
    assert cycles(BuiltDecoderSpec) == cycles(Deep)


@pytest.mark.parametrize("shallow", [ShallowAttention, ShallowFeedForward])
def test_smaller_residuals_are_slower(shallow: type[BuiltDecoderSpec]) -> None:
    assert cycles(shallow) > 2 * cycles(BuiltDecoderSpec)


def test_a_loop_with_less_room_waits_for_itself() -> None:
    with pytest.raises(Deadlock):
        cycles(ShallowLoop)
