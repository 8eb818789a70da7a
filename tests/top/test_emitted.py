"""One choice of a design: `estimate`, the command that it prints, and `describe` speak of the same one."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import pytest

from hdl.errors import InputError
from hdl.model.load import load_network, networks
from hdl.model.network import Network
from hdl.model.weightbits import W4, WeightBits
from hdl.perf import Choice, Workload, estimate, estimate_design, load_device
from hdl.perf.choice import built as planner
from hdl.perf.choice import choose as choice
from hdl.perf.choice.one_pace import smallest
from hdl.perf.designs import spatial_design
from hdl.perf.designs.spatial_design import SpatialDesign
from hdl.perf.device import Device
from hdl.perf.geometry.decoder_layer_spec import DecoderLayerSpec
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.schedule import decoder_schedule, encoder_schedule
from hdl.resources import Resources
from hdl.top import emit as emission
from hdl.top import planned as planning
from hdl.top import run_cycles
from hdl.top.cli import main
from hdl.top.describe import summary
from hdl.top.emitted import described, emit_command
from hdl.top.run_cycles import cycles

from .commands import Run

U280 = load_device("u280")


class Emission(NamedTuple):
    """What an emission was asked for."""

    spec: PipelineSpec
    device: Device
    workload: Workload | None


@pytest.fixture
def emissions(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[Emission]:
    """The emissions, which take no time and go to a folder of their own."""
    found: list[Emission] = []

    def files_of(spec: Any, device: Device, name: str, *, workload: Any, **options: Any) -> dict[str, str]:
        found.append(Emission(spec, device, workload))
        return {"rtl/pipeline.v": "module\n", "manifest.json": '{"generator": {"name": "spatial-llm"}}\n'}

    monkeypatch.setattr(emission, "files_of", files_of)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Choices that take no time: of the smallest geometry instead of the best, and with runs that are only numbered."""

    def geometry(
        network: Network, length: int, available: Resources, *, rows: int, cache_channels: int = 0, **others: Any
    ) -> PipelineSpec:
        found = smallest(network, length, rows)
        if isinstance(found, DecoderLayerSpec):
            found = replace(found, cache_on_chip=not cache_channels, cache_channels=cache_channels)
        return found

    numbers = count(10**11)

    def run(kind: Any, *arguments: Any) -> Any:
        return type("Counted", (), {"ended": next(numbers)})

    monkeypatch.setattr(planner, "choose_geometry", geometry)
    monkeypatch.setattr(choice, "estimated_design", lambda *request: "an estimated design")
    monkeypatch.setattr(decoder_schedule, "counted_run", run)
    counted = cache(lambda *run: next(numbers))
    for module in (spatial_design, encoder_schedule, run_cycles):
        monkeypatch.setattr(module, "counted_cycles", counted)
    decoder_schedule.counted_decoder_cycles.cache_clear()
    yield
    for kept in (decoder_schedule.counted_decoder_cycles, spatial_design._spatial_prefill):
        kept.cache_clear()


def workloads(network: Network) -> list[Workload]:
    """Twenty workloads, within the positions of a network; those of a decoder have outputs, and some have 4 bits."""
    lengths = [(1, 0), (1, 1), (2, 1), (5, 3), (8, 8), (16, 16), (33, 7), (64, 64), (100, 28), (128, 64)]
    half, found = network.max_positions // 2, []
    for turn, (prompt, output) in enumerate(lengths):
        given: dict[str, Any] = {"prompt": min(prompt, half), "output": min(output, half) if network.causal else 0}
        found.append(Workload.of(network, **given))
        more: dict[str, Any] = [{"tile": 2}, {"tile": 4, "clock_mhz": 250}, {"tile": 8}][turn % 3]
        if network.causal:
            more["weight_bits"] = [W4, WeightBits.of(4, ["head"])][turn % 2]
        found.append(Workload.of(network, **given, **more))
    return found


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", networks())
def test_every_command_speaks_of_the_same_design(name: str, emissions: list[Emission]) -> None:
    network = load_network(name)
    for turn, workload in enumerate(workloads(network)):
        chosen = choice.choose(network, U280, workload)
        command = [*shlex.split(emit_command(name, network, U280, workload))[3:], "--out", str(turn)]
        if chosen.refusal:
            assert chosen == Choice("an estimated design", chosen.refusal)
            with pytest.raises(InputError, match=re.escape(chosen.refusal)):
                planner.built_design(network, U280, workload)
            assert main(command) == 2
            continue
        assert main(command) == 0
        emitted = emissions[-1]
        assert (emitted.spec, emitted.workload) == (chosen.design.spec, workload)
        found = estimate_design(chosen.design, U280, workload)
        assert emitted.device == found.device
        if not isinstance(emitted.spec, DecoderSpec):
            told = cycles(emitted.spec, emitted.device)[-1]
            assert (told["tokens"], told["run_estimate"]) == (workload.prompt, found.cycles(found.first_token))
            continue
        told = {one["tokens"]: one for one in cycles(emitted.spec, emitted.device, workload)}
        assert told[workload.prompt]["prompt_estimate"] == found.cycles(found.first_token)
        said = summary(emitted.spec, emitted.device, workload)
        assert f"a prompt of {workload.prompt} tokens: {found.cycles(found.first_token):,} cycles" in said
        if found.token is not None:
            context = workload.prompt + workload.output // 2
            assert told[context + 1]["token_estimate"] == found.cycles(found.token)
            assert f"a token after {context} others: {found.cycles(found.token):,} cycles" in said
    built = len(emissions)
    assert built == (0 if network.family not in ("bert", "gpt2") or network.intermediate > 4096 else 20)


def test_an_encoder_s_estimate_is_of_what_emit_makes(
    capsys: pytest.CaptureFixture[str], emissions: list[Emission]
) -> None:
    run = Run(capsys, "--model", "tiny-bert", "estimate", "--prompt", "24", "--tile", "8", "--clock", "200")
    found = estimate("tiny-bert", "u280", prompt=24, tile=8, clock_mhz=200)
    assert run.out.splitlines()[0] == f"emit makes this design: {described(found.design)}."
    (command,) = run.printed
    assert command[2:] == ["emit", "--device", "u280", "--prompt", "24", "--tile", "8", "--clock", "200"]
    assert main(command) == 0
    assert (emissions[0].spec, emissions[0].device.clock_mhz) == (found.design.spec, 200)


def test_a_decoder_s_estimate_is_of_what_emit_makes(
    capsys: pytest.CaptureFixture[str], emissions: list[Emission]
) -> None:
    options = "--prompt 24 --output 8 --tile 2 --weight-bits 4 --int8 head --int8 qkv"
    run = Run(capsys, "--model", "tiny-gpt2", "estimate", *options.split())
    found = estimate("tiny-gpt2", "u280", prompt=24, output=8, tile=2, weight_bits=WeightBits.of(4, ("head", "qkv")))
    assert run.out.splitlines()[0] == f"emit makes this design: {described(found.design)}."
    (command,) = run.printed
    assert main(command) == 0
    assert emissions[0].spec == found.design.spec
    told = {one["tokens"]: one for one in cycles(emissions[0].spec, U280, emissions[0].workload)}
    assert found.token is not None
    assert told[24]["prompt_estimate"] == found.cycles(found.first_token)
    assert told[29]["token_estimate"] == found.cycles(found.token)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("opt-125m", "", "networks of the family opt are only estimated"),
        ("tiny-gpt2", "--sequences 2", "a decoder works on one sequence at a time, not 2"),
        (
            "tiny-gpt2",
            "--device vck5000",
            "pipelines are for devices of the family ultrascale+, not versal as 'vck5000'",
        ),
    ],
)
def test_what_emit_does_not_make(capsys: pytest.CaptureFixture[str], model: str, options: str, reason: str) -> None:
    run = Run(capsys, "--model", model, "estimate", "--tile", "4", "--prompt", "16", "--output", "4", *options.split())
    assert (run.code, run.err, run.printed) == (0, "", [])
    said = " ".join(run.out.split())
    assert said.startswith("Estimated only: ")
    assert f"DSPs. emit makes no design for this work: {reason}. {model} on" in said


def test_a_path_is_quoted_in_a_command() -> None:
    assert "--model 'my models/a' emit" in emit_command(
        "my models/a", load_network("tiny-bert"), U280, Workload(prompt=8, output=0)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "emit --model tiny-bert --device vck5000",
            "device 'vck5000' must be of the family ultrascale+ for emit, not versal",
        ),
        (
            "emit --model tiny-bert --device u250 --flow vitis",
            "flow vitis must be for a device with a Vitis platform (u280, u50, u55c), not 'u250'; use --flow vivado",
        ),
        ("emit --model gpt2-large", "array contraction must have at most 4096 terms, not 5120"),
        ("describe --model gpt2-xl", "array contraction must have at most 4096 terms, not 6400"),
        (
            "describe --model gpt2 --output 8",
            "--output must be given with --prompt; without it, --max-length is the whole sequence",
        ),
        (
            "describe --model gpt2 --prompt 8 --max-length 16",
            "--max-length must be left out with --prompt: it is the sum of --prompt and --output",
        ),
        (
            "describe --model tiny-bert --prompt 8 --weight-bits 4",
            "weight-bits of an encoder must be 8, not 4; only a decoder's may be less",
        ),
    ],
)
def test_refusals_come_before_planning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.setattr(planning, "built_design", lambda *anything, **options: pytest.fail("planned"))
    assert Run(capsys, *arguments.split()).complaint().endswith(message)


def test_list_marks_what_emit_makes(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "list")
    rows = {words[0]: words[-1] for line in run.out.splitlines() if (words := line.split())}
    assert [rows[name] for name in ("gpt2-medium", "gpt2-large", "gpt2-xl", "llama-2-7b")] == ["yes", "no", "no", "no"]
    assert [rows[name] for name in ("u280", "u55c", "u250", "a100")] == ["yes", "yes", "no", "no"]
    assert "gpt2-xl: estimates only, no emit: array contraction must have at most 4096 terms, not 6400." in run.out


def test_a_design_of_fewer_ports_than_it_needs_is_not_made() -> None:
    with pytest.raises(InputError) as error:
        planner.built_design(load_network("tiny-bert"), load_device("u250"), Workload(prompt=16, output=0))
    assert str(error.value).startswith("model 'tiny-bert' does not fit device 'u250': memory ports: ")
    assert isinstance(
        choice.choose(load_network("tiny-bert"), U280, Workload(prompt=16, output=0)).design, SpatialDesign
    )
