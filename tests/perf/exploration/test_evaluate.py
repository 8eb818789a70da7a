"""Figures of many points at once equal those of each, built through its specs."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf.choice.off_chip import CACHE_CHANNELS
from hdl.perf.designs.budget import shortfall
from hdl.perf.designs.constraints import Constraint, binding, constraints
from hdl.perf.designs.spatial_design import SpatialDesign, prompt_cycles
from hdl.perf.device import Region, load_device
from hdl.perf.estimate import estimate_design
from hdl.perf.exploration.energy import energy_proxy
from hdl.perf.exploration.evaluate import evaluate
from hdl.perf.exploration.kind import Kind
from hdl.perf.exploration.point import DesignPoint
from hdl.perf.exploration.points import CONSTRAINTS, FIGURES, counts
from hdl.perf.exploration.space import Space
from hdl.perf.exploration.spatial.spatial_points import SpatialPoints
from hdl.perf.exploration.spatial.spatial_space import SpatialSpace
from hdl.perf.exploration.streamed.streamed_space import StreamedSpace
from hdl.perf.geometry.arrays import ArrayShape
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec
from hdl.perf.geometry.formulas import encoder_cycles, reload_cycles
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.geometry.weight_channels import weight_channels
from hdl.perf.workload import Workload
from hdl.resources import Resources

REGIONS = ("SLR budget", "crossings")

ROOMY = load_device("u280").model_copy(
    update={"slrs": tuple([Region(dsp=40_000, bram36=9000, uram=9000, lut=10**7, ff=10**7)] * 3)}
)
"""A device on which nothing is refused for its resources."""

Case = tuple[str, str, int, int]
"""Kind of design, network, prompt and output."""

ENCODERS: list[Case] = [
    ("spatial", "bert-base", 128, 0), ("spatial", "minilm-l6", 33, 0), ("spatial", "tiny-bert", 30, 0),
]  # fmt: skip
DECODERS: list[Case] = [
    ("spatial", "gpt2", 40, 24), ("spatial", "tiny-gpt2", 21, 9), ("streamed", "tiny-gpt2", 21, 9),
    ("streamed", "tiny-gpt2", 3, 0), ("streamed", "tinyllama-1.1b", 37, 12), ("spatial", "gpt2", 900, 124),
]  # fmt: skip


@cache
def space(name: str, network: str, prompt: int, output: int) -> Kind:
    """The space of a kind."""
    whole = Space(network=load_network(network), device=ROOMY, prompt=prompt, output=output)
    return next(kind for kind in whole.kinds if kind.name == name)


def screened_cycles(spec: PipelineSpec, tokens: int, layers: int) -> int:
    """The closed form that screens encoders, of one pipeline."""
    cycles, units = spec.tile_cycles(tokens), spec.linear_units
    arrays = [unit.array for unit in (*units, spec.scores_unit, spec.sums_unit)]
    busy = sum(cycles[name] for name in ("projection", "ffn1", "ffn2", "sums")) + 2 * cycles["qkv"] // 3
    fill = busy + sum(array.latency for array in arrays) + spec.stream_cycles
    pace, lead = max(spec.row_cycles, *cycles.values()), max(spec.row_cycles, cycles["qkv"])
    reload = reload_cycles([unit.layer_beats for unit in units], [unit.cycles(1) for unit in units], spec.weight_layers)
    return int(encoder_cycles(-(-tokens // spec.rows), layers, pace, lead, fill, reload))


def scalar(where: Kind, point: DesignPoint) -> dict[str, float]:
    """A point's figures, built through its spec."""
    design, spec = point.design, point.spec
    clock, device = point.clock_mhz * 1e6, where.device
    work = Workload(prompt=where.prompt, output=where.output, clock_mhz=point.clock_mhz)
    if where.network.causal:
        one = estimate_design(design, device, work)
        many = estimate_design(design, device, replace(work, sequences=point.flight))
        assert (one.token is None) == (one.decode is None) == (not where.output)
        first, token, cycles = one.first_token.seconds, one.token.seconds if one.token else 0.0, one.prefill.cycles
        throughput, token_cycles = many.tokens_a_second, one.decode.cycles if one.decode else 0
    else:
        assert isinstance(spec, PipelineSpec)
        assert isinstance(design, SpatialDesign)
        cycles = screened_cycles(spec, where.prompt, where.network.layers)
        taken = where.network.layers * design.layer_bytes
        bandwidth = device.memory.sustained_bytes(design.bandwidth(device.memory), point.clock_mhz)
        first, token, token_cycles = max(cycles, taken / bandwidth) / clock, 0.0, 0
        throughput = point.copies * where.prompt / (max(cycles, point.copies * taken / bandwidth) / clock)
    run = first + max(where.output - 1, 0) * token
    energy = energy_proxy(device, where.network, list(design.resources), point.clock_mhz, run)
    found = (first, token, throughput, energy, *design.resources, cycles, token_cycles)
    return dict(zip(FIGURES, found, strict=True))


@pytest.mark.parametrize("workload", ENCODERS + DECODERS)
def test_figures_are_those_of_the_specs(workload: Case) -> None:
    where = space(*workload)
    choices = where.draw(7, 0, 4000)[::100]
    found = evaluate(where, choices)
    assert found.refused.sum() + len(found.choices) == len(choices)
    assert len(found.choices) >= 20
    for choice, figures in zip(found.choices, found.figures, strict=True):
        expected = scalar(where, where.point(choice))
        given = dict(zip(FIGURES, figures.tolist(), strict=True))
        assert given == expected, where.point(choice)


@pytest.mark.parametrize(("kind", "name"), [("spatial", "gpt2"), ("streamed", "gpt2"), ("spatial", "bert-base")])
def test_what_is_refused_is_refused_by_the_same_constraint(kind: str, name: str) -> None:
    whole = Region(**vars(load_device("u50").resources))
    device = load_device("u50").model_copy(
        update={
            "slrs": (whole,),
            "memories": (load_device("u50").memory.model_copy(update={"bandwidth_gb_s": 25.0, "capacity_gb": 0.15}),),
        }
    )
    network = load_network(name)
    whole = Space(network=network, device=device, prompt=32, output=16 if network.causal else 0)
    where = next(one for one in whole.kinds if one.name == kind)
    choices = where.draw(1, 0, 6000)[::100]
    fits, refused = where.screened(choices).constrained()
    names = set()
    for choice, fit, place in zip(choices, fits, refused, strict=True):
        point = where.point(choice)
        asked = constraints(
            point.design, device, tokens=32 + where.output, sequences=point.flight, clock_mhz=point.clock_mhz
        )
        missed = binding(checked(where, point, asked))
        assert fit == (missed is None)
        if missed is not None:
            assert CONSTRAINTS[place] == missed.name
            names.add(missed.name)
    assert len(names) >= 2


def checked(where: Kind, point: DesignPoint, asked: list[Constraint]) -> list[Constraint]:
    """The constraints without those of the SLRs, and an encoder's bandwidth at its screened cycles."""
    found = []
    for one in asked:
        if one.name == "prompt bandwidth" and not where.network.causal:
            assert isinstance(point.spec, PipelineSpec)
            prefill = point.design.prefill(where.prompt)
            drawn = prefill.bytes / screened_cycles(point.spec, where.prompt, where.network.layers)
            needed = drawn * point.clock_mhz * 1e6 / 1e9
            one = Constraint(name=one.name, needed=needed, available=one.available, unit=one.unit)
        if one.name not in REGIONS:
            found.append(one)
    return found


@pytest.mark.parametrize("workload", ENCODERS[:2])
def test_screened_cycles_are_near_those_of_the_run(workload: Case) -> None:
    where = space(*workload)
    for choice in where.draw(3, 0, 4000)[::250]:
        spec = where.point(choice).spec
        assert isinstance(spec, PipelineSpec)
        run = prompt_cycles(spec, where.prompt, where.network.layers)
        assert 0.88 < screened_cycles(spec, where.prompt, where.network.layers) / run < 1.12


@pytest.mark.parametrize("workload", [ENCODERS[2], DECODERS[1], DECODERS[2]])
def test_points_are_the_same_for_the_same_seed_and_batch(workload: Case) -> None:
    where = space(*workload)
    first = where.draw(1, 5, 100)
    assert (first == where.draw(1, 5, 100)).all()
    assert (first != where.draw(1, 6, 100)).any()
    assert (first != where.draw(2, 5, 100)).any()
    assert (first >= 0).all()
    assert isinstance(where, SpatialSpace | StreamedSpace)
    assert (first < np.stack([np.broadcast_to(n, 100) for n in where.sizes(first[:, 0])], axis=1)).all()


@pytest.mark.parametrize("workload", [ENCODERS[2], DECODERS[1], DECODERS[2]])
def test_a_point_comes_back_from_its_dictionary(workload: Case) -> None:
    where = space(*workload)
    point = where.point(where.draw(0, 0, 1)[0])
    assert point.kind == where.name
    assert DesignPoint.from_dict(point.as_dict(), "x") == point


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "x must be a point as explore writes them: kind is 'other'"),
        ({"copies": 2}, "x must be a point as explore writes them: copies of a streamed design must be 1, not 2"),
        ({"weight_bits": "8"}, "x must be a point as explore writes them: weight_bits is '8'"),
        ({"geometry": {}}, "x must be a point as explore writes them: StreamedSpec.__init__() missing"),
    ],
)
def test_what_is_no_point(change: dict[str, Any], message: str) -> None:
    where = space(*DECODERS[2])
    values = where.point(where.draw(0, 0, 1)[0]).as_dict()
    with pytest.raises(InputError) as caught:
        DesignPoint.from_dict(values | change, "x")
    assert str(caught.value).startswith(message)
    del values["kind"]
    with pytest.raises(InputError, match="x must be a point as explore writes them, but lacks 'kind'"):
        DesignPoint.from_dict(values, "x")


@pytest.mark.parametrize("workload", [ENCODERS[2], DECODERS[1], DECODERS[2]])
def test_columns_of_a_table_say_what_the_points_are(workload: Case) -> None:
    where = space(*workload)
    choices = where.draw(2, 0, 20)
    columns = where.columns(choices)
    assert {len(column) for column in columns.values()} == {20}
    for place, choice in enumerate(choices):
        point = where.point(choice)
        assert columns["clock_mhz"][place] == point.clock_mhz
        assert columns["weight_bits"][place] == point.weight_bits
        assert columns["copies"][place] == point.copies
        for name, value in point.geometry.items():
            if isinstance(value, ArrayShape):
                own = "array" if name == "shape" else name
                assert (columns[f"{own}_columns"][place], columns[f"{own}_cascades"][place]) == value
            elif name in columns:
                assert columns[name][place] == value


def test_keys_and_values_off_chip_have_the_ports_that_serve_them_best() -> None:
    where = space(*DECODERS[5])
    assert isinstance(where, SpatialSpace)
    choices = where.draw(4, 0, 4000)
    choices = choices[where.index(choices, "cache") == 1]
    points, ports = where.screened(choices), where.device.memory.ports
    every = [SpatialPoints(where, choices, np.full(len(choices), count)) for count in CACHE_CHANNELS]
    runs = np.array([np.where(one.ports <= ports, one.times[-1], np.inf) for one in every])
    fits = np.isfinite(runs).any(axis=0)
    best = runs.min(axis=0)
    # Nobody looks for more where the fewest do: now and then fewer channels of weights are a little better filled.
    assert (points.times[-1][fits] <= 1.001 * best[fits]).all()
    more = points.cache_channels > CACHE_CHANNELS[0]
    assert (points.times[-1] == best)[more].all()
    assert 0.01 < more[fits].mean() < 0.5
    for place in np.flatnonzero(fits)[::200]:
        design = where.point(choices[place]).design
        assert isinstance(design.spec, DecoderLayerSpec)
        assert design.spec.cache_channels == points.cache_channels[place]
        assert design.channels == points.ports[place]
        read = design.spec.cache.bytes_read(900 + 62)
        token = points.times[1][place]
        assert token >= read / (where.device.memory.sustained * design.cache_bandwidth(where.device.memory) * 1e9)


def test_without_tokens_or_off_chip_memory_nothing_is_taken_from_the_weights() -> None:
    prompts = space("spatial", "gpt2", 900, 0)
    choices = prompts.draw(4, 0, 200)
    off_chip = prompts.index(choices, "cache")
    assert isinstance(prompts, SpatialSpace)
    assert (prompts.screened(choices).cache_channels == off_chip).all()


def test_packed_weights_have_the_channels_that_they_can_fill() -> None:
    where = space(*DECODERS[0])
    choices = where.draw(4, 0, 500)
    assert isinstance(where, SpatialSpace)
    points, bits = where.screened(choices), where.value(choices, "weight_bits")
    most = [points.channels.sum(axis=0)[bits == one].max() for one in (8, 4)]
    assert most == [weight_channels(ROOMY, causal=True, weight_bits=one) for one in (8, 4)]


def test_channels_limit_what_a_streamed_design_reads() -> None:
    """A decoder's token reads all weights, so with a quarter of the ports it takes four times as long."""
    where = space(*DECODERS[4])
    assert isinstance(where, StreamedSpace)
    wide = where.draw(0, 0, 1)
    wide[0, 1] = where.tables.arrays.size[wide[0, 0]] - 1
    wide[0, 4], narrow = len(where.values["channels"]) - 1, wide.copy()
    narrow[0, 4] = 0
    times = [where.screened(one).figures()[0, FIGURES.index("token_s")] for one in (narrow, wide)]
    assert times[0] == pytest.approx(4 * times[1], rel=1e-3)


def test_all_points_of_a_small_space_are_counted() -> None:
    where = space(*ENCODERS[2])
    assert isinstance(where, SpatialSpace)
    assert where.size == sum(
        int(np.prod([int(n) for n in where.sizes(g)[1:]])) for g in range(len(where.tables.groups))
    )
    points = next(where.enumerate(1000))
    assert len(np.unique(points, axis=0)) == 1000


def test_resources_of_a_point_are_a_resources() -> None:
    where = space(*ENCODERS[2])
    spec = where.point(where.draw(0, 0, 1)[0]).spec
    assert (counts(spec.resources) == np.array(list(spec.resources))).all()
    assert shortfall(Resources(), ROOMY.resources) is None
