"""The report of a decoder that is built: its schedule is the counted one."""

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest

from hdl.perf import Estimate, Workload, estimate, load_device
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles, counted_run
from hdl.top.report.occupancy import built_timelines, timelines
from hdl.top.report.text import duration, number
from hdl.top.report.timeline import Span
from hdl.top.report.traced_run import TracedRun
from hdl.top.run_cycles import cycles

from .decoder.designs import FAR, HEAVY, MIXED, ODD, PACKED, TINY

U280 = load_device("u280")
TIMING = MemoryTiming.of_device(U280)

SHARED = ("qkv", "projection", "ffn1", "ffn2", "head")
SERIAL = ("norm1", "scores", "softmax", "sums", "norm2", "activation", "residual1", "rows_qkv", "candidates")


@pytest.fixture(scope="module")
def found() -> Estimate:
    return estimate("tiny-gpt2", U280, prompt=32, output=2, tile=2)


def lengths(spans: list[Span]) -> float:
    return sum(one.work for one in spans)


def test_what_is_shown_is_what_describe_and_emit_tell(found: Estimate) -> None:
    shown = timelines(found)
    told = {one["tokens"]: one for one in cycles(found.design.spec, U280)}
    prompt, token = (one for one in shown if one.title in ("The prompt", "A token after 33 others"))
    assert (prompt.start, prompt.end) == (0, told[32]["prompt_estimate"])
    assert (token.start, token.end) == (0, told[34]["token_estimate"])
    assert found.token is not None
    assert (prompt.end, token.end) == (found.cycles(found.first_token), found.cycles(found.token))
    for one in (prompt, token):
        assert "Schedule of the design for 34 tokens: tiles of 2 tokens, keys and values on chip. It takes" in one.note
        assert f"It takes {number(one.end)} cycles, {duration(one.end / 300e6)}, counted as in describe" in one.note
    assert [one.title for one in shown] == [
        "The prompt", "The first 2 layers of the prompt", "A token after 33 others", "Layer 3 of 4 of the token",
    ]  # fmt: skip


@pytest.mark.parametrize("timing", [IDEAL, TIMING], ids=["ideal", "u280"])
@pytest.mark.parametrize(
    "spec", [TINY, ODD, PACKED, MIXED, HEAVY, FAR], ids=["tiny", "odd", "packed", "mixed", "heavy", "far"]
)
@pytest.mark.parametrize(("tokens", "position"), [(13, 0), (1, 0), (1, 9)])
def test_a_run_takes_as_long_whether_it_is_watched_or_not(
    spec: DecoderSpec, timing: MemoryTiming, tokens: int, position: int
) -> None:
    run = counted_run(TracedRun, spec, tokens, position, timing)
    assert run.ended == counted_decoder_cycles(spec, tokens, position, timing)
    spans = run.spans()
    for name in SERIAL:
        ordered = sorted(spans[name], key=lambda one: one.start)
        # A unit does one thing at a time, and nothing after the run.
        assert all(one.end <= after.start for one, after in pairwise(ordered)), name
        assert ordered[-1].end <= run.ended + 1
        assert {one.turn for one in ordered} == (
            {spec.max_layers} if name == "candidates" else set(range(spec.max_layers))
        )


@pytest.mark.parametrize("spec", [ODD, HEAVY], ids=["odd", "heavy"])
def test_a_token_s_products_and_loads_are_all_of_their_work(spec: DecoderSpec) -> None:
    spans = counted_run(TracedRun, spec, 1, 5, TIMING).spans()
    units = spec.linear_units
    multipliers, channels = sum(unit.array.macs for unit in units), sum(spec.channels)
    for number_, (name, product) in enumerate(spec.shared_products.items(), start=1):
        times = 1 if name == "head" else spec.max_layers
        rounds = ceil(product.outputs / spec.sharing.columns)
        words = sum(unit.product_words[number_] * unit.array.macs for unit in units) / multipliers
        assert lengths(spans[name]) == pytest.approx(times * rounds * words), name
        beats = sum(unit.product_beats(number_) * unit.channels for unit in units) / channels
        assert lengths(spans[f"load {name}"]) == pytest.approx(times * beats / float(TIMING.rate)), name
        # A layer's weights have begun to come before its words enter.
        for layer in {one.turn for one in spans[name]}:
            own, loaded = ([one for one in spans[key] if one.turn == layer] for key in (name, f"load {name}"))
            assert min(one.start for one in loaded) < min(one.start for one in own)
            assert max(one.end for one in loaded) <= max(one.end for one in own)


def test_a_prompt_s_arrays_work_for_themselves_tile_by_tile() -> None:
    run = counted_run(TracedRun, TINY, 13, 0, IDEAL)
    spans, by_tile = run.spans(), run.spans(tiles=True)
    assert run.tiles == 4
    for name in TINY.products:
        unit = TINY.linear(name)
        cycles = unit.passes * unit.array.pass_cycles(unit.words)
        assert lengths(spans[name]) == 2 * 4 * cycles
        each = [lengths([one for one in by_tile[name] if one.turn == tile]) for tile in range(2 * 4)]
        assert each == [cycles] * 8
        starts = [min(one.start for one in by_tile[name] if one.turn == tile) for tile in range(8)]
        assert starts == sorted(starts)
        # Weights are no tile's.
        assert {one.turn for one in by_tile[f"load {name}"]} == {0, 1}
    # The head follows the last layer.
    assert {one.turn for one in spans["head"]} == {2}
    assert min(one.start for one in spans["head"]) > max(one.end for one in spans["ffn2"])


def test_keys_and_values_off_chip_are_loaded_layer_by_layer_before_they_are_read() -> None:
    run = counted_run(TracedRun, FAR, 1, 30, TIMING)
    spans = run.spans()
    for name, reader in (("keys", "scores"), ("values", "sums")):
        loads = spans[f"load {name}"]
        assert [one.turn for one in loads] == [*range(FAR.max_layers)]
        assert {one.end - one.start for one in loads} == {run.loads[name].cycles}
        for load in loads:
            first = min(one.start for one in spans[reader] if one.turn == load.turn)
            assert load.end <= first + FAR.scores_unit.array.chain
    # The first while the head works on the token before, of which nothing is drawn.
    assert spans["load keys"][0].start < 0
    assert "load keys" not in counted_run(TracedRun, FAR, 9, 0, TIMING).spans()


@pytest.mark.parametrize("tokens", [1, 9])
def test_long_prompts_show_their_first_tiles(found: Estimate, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr("hdl.top.report.occupancy.TILES", 3)
    design = SpatialDesign(found.network, FAR)
    shown = built_timelines(replace(found, design=design, workload=Workload(prompt=tokens, output=0), token=None))
    assert [one.title for one in shown] == [
        "The prompt",
        f"The first {'3 tiles' if tokens == 9 else '2 layers'} of the prompt",
    ]
    tiles = [one.turn for one in shown[1].rows["ffn2"]]
    assert set(tiles) >= ({0, 1, 2} if tokens == 9 else {0, 1})
    assert "head" not in shown[1].rows
    assert shown[1].end < shown[0].end


@pytest.mark.parametrize(
    ("model", "board", "options", "reason"),
    [
        (
            "llama-3.2-1b",
            "u280",
            {},
            "there is no hardware yet for RMSNorm, rotary positions, gates and shared heads of keys and values",
        ),
        ("tiny-gpt2", "vck5000", {}, "pipelines are for devices of the family ultrascale+, not versal as 'vck5000'"),
        ("tiny-gpt2", "u280", {"sequences": 2}, "a decoder works on one sequence at a time, not 2"),
        ("gpt2-xl", "u280", {}, "array contraction must have at most 4096 terms, not 6400"),
    ],
)
def test_where_nothing_is_built_stages_say_why(model: str, board: str, options: dict[str, int], reason: str) -> None:
    device = load_device(board)
    other = estimate(model, device, prompt=16, output=4, tile=4, **options)
    assert other.refusal == reason
    prompt, token = timelines(other)
    start = f"There is no schedule of this work, since emit makes no design for it ({reason}). "
    assert prompt.note.startswith(start)
    assert "A model of stages" in prompt.note
    assert not prompt.exact
    assert not token.exact
