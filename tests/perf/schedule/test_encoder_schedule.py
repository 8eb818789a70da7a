"""Estimated cycles: those of the simulated Verilog, for small designs; more work never takes fewer."""

from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from hdl.kernels.arrayspec import ArraySpec
from hdl.model.load import load_model
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule.encoder_schedule import EncoderSchedule, counted_cycles, counted_layer_cycles
from hdl.perf.schedule.servers import BUFFER
from hdl.stream import BUFFER_DEPTH
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from sim.accelerator import Accelerator

from ...model.networks import layer
from ...top.designs import ODD, TINY, random_model, texts
from ...top.sources import EFFORT, emitted
from ...top.test_vision import SPEC as SLOW_ATTENTION

DESIGNS = {"two rows": ODD, "four rows": TINY}
"""`tests.top.test_vision` does the same with eight rows and slow attention."""


@pytest.mark.parametrize("spec", DESIGNS.values(), ids=DESIGNS)
def test_estimates_are_what_is_simulated(spec: PipelineSpec) -> None:
    longest, layers = spec.max_length, spec.max_layers
    runs = [(1, layers), (spec.rows + 1, 1), (longest, 2), (longest // 2, layers), (longest, 1)]
    model = random_model(spec, layers)
    sources = emitted(Pipeline, spec, "pipeline")
    image = build_image(model, spec)
    with Accelerator.verilated(spec, sources, image, threads=1, optimise=EFFORT) as accelerator:
        for tokens, count in runs:
            (text,) = texts(spec, [tokens], seed=3)
            simulated = accelerator.run(model.embed(text), layers=count).cycles
            assert counted_cycles(spec, tokens, count) == simulated, (tokens, count)


@cache
def planned(name: str, **options: Any) -> PipelineSpec:
    """A planned pipeline."""
    return plan(load_model(name), load_device("u280"), **options)


@pytest.mark.parametrize(("name", "tile"), [("tiny-bert", 2), ("minilm-l6", 4), ("bert-base", 8)])
def test_more_tokens_or_layers_never_take_fewer_cycles(name: str, tile: int) -> None:
    spec = planned(name, tile=tile)
    lengths = [1, *range(7, spec.max_length, spec.max_length // 9), spec.max_length]
    found = {run: counted_cycles(spec, *run) for run in product(lengths, range(1, spec.max_layers + 1))}
    for (tokens, layers), cycles in found.items():
        assert cycles <= found.get((tokens, layers + 1), cycles)
    for layers in range(1, spec.max_layers + 1):
        assert all(found[a, layers] <= found[b, layers] for a, b in pairwise(lengths))


def test_a_layer_takes_no_less_than_its_slowest_unit() -> None:
    for spec, tokens in product((*DESIGNS.values(), SLOW_ATTENTION), (1, 9, 21)):
        tiles = -(-tokens // spec.rows)
        assert counted_layer_cycles(spec, tokens) >= tiles * max(spec.row_cycles, *spec.tile_cycles(tokens).values())


def used_sums(array: ArraySpec, words: int, there: np.ndarray, loaded: np.ndarray, tiles: int) -> np.ndarray:
    """When the requantiser uses each beat of an array's sums, cycle by cycle: a beat needs its parameters, which are
    ``there`` for the first tile. Words enter the array once they are ``loaded``."""
    count = tiles * len(there)
    entered, left, used = list[int](), list[int](), list[int]()
    for cycle in range(10 * count):
        beat = len(used)
        if beat < len(left) and (beat >= len(there) or cycle > there[beat]):
            used.append(cycle)
        beat, buffered = len(left), len(left) - len(used) + (used[-1:] == [cycle])
        last = (beat // array.chain + 1) * words - 1
        summed = last < len(entered) and cycle >= entered[last] + array.latency + beat % array.chain
        in_flight = len(entered) // words - beat // array.chain
        if summed and buffered < BUFFER_DEPTH:
            left.append(cycle)
        word = len(entered)
        room = word % words or in_flight < array.passes_in_flight
        if word < count // array.chain * words and room and (word >= len(loaded) or cycle >= loaded[word]):
            entered.append(cycle)
    return np.array(used)


def test_sums_that_wait_for_parameters_hold_up_the_next_tile() -> None:
    spec = PipelineSpec(
        layer=layer("bert", 384, 12, 384), max_length=64, max_layers=2, rows=4, lanes=4, ffn_lanes=4, score_lanes=8,
        arrays=Arrays(qkv=(36, 4), projection=(8, 3), ffn1=(8, 4), ffn2=(8, 4), scores=(8, 4), sums=(8, 4)),
        channels=(10, 2, 2, 2), weight_layers=2,
    )  # fmt: skip
    tiles, unit, rows = 3, spec.linear("qkv"), spec.row_quantise("qkv")
    # Sums come faster than parameters, and slower than a beat a cycle.
    assert unit.columns > unit.array.pass_cycles(unit.words) > unit.array.chain
    counted, other = (EncoderSchedule(spec, tiles * spec.rows) for _ in range(2))
    counted.there = there = counted.parameters.layer()
    beats = len(there["qkv"])
    found = counted.linear("qkv", np.zeros(tiles, np.int64), beats)
    quantised = rows.latency + rows.beats - 1 + unit.activation_latency
    loaded = other.weights["qkv"].layer()
    loaded = np.maximum(loaded, quantised + 1 - unit.words + np.arange(len(loaded)))
    used = used_sums(unit.array, unit.words, there["qkv"], loaded, tiles)
    assert (found.reshape(-1) == used - BUFFER + spec.requantise("qkv").latency).all()


@pytest.mark.parametrize("tokens", [1, 30, 128])
def test_layers_that_are_counted_are_as_if_followed(tokens: int) -> None:
    spec = planned("tiny-bert")
    run = EncoderSchedule(spec, tokens)
    ends = np.arange(1, run.tiles + 1) * spec.tile_beats - 1
    for layers in range(1, 9):
        ends = run.layer(ends) + BUFFER
        assert counted_cycles(spec, tokens, layers) == ends[-1] + 1
