"""``python -m sim``: text through both simulators, and every bad input in one line."""

from pathlib import Path

import pytest

from hdl.bounds import THREADS
from sim import demonstration
from sim.command import main
from sim.demonstration import is_waves
from tests.top.depths import ENCODER

from .refusals import refused

TINY = ["--model", "tiny-bert", "--random-weights", "--max-length", "16", "--tile", "2", "--share", "0.03"]
"""Of a device's worth of hardware, a third takes hardly more cycles, and a third of the time to build or interpret."""


def test_verilator_is_bit_exact_on_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--text", "Hi there", "--text", "to 1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:2] == [
        "tiny-bert: random weights, seed 1; bytes as tokens, guessed from the vocabulary of 260 entries; "
        "calibrated on the project's own English texts",
        "pooling: the mean of the tokens, scaled to length 1 (assumed, as the model says none)",
    ]
    assert "bit-exact: all 1,024 values that left a layer equal the integer reference's" in out


def test_amaranth_is_bit_exact_on_text_and_writes_waves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, waves = tmp_path / "small.yaml", tmp_path / "waves.vcd"
    model.write_text(
        "{family: bert, layers: 1, hidden: 16, heads: 2, intermediate: 32, max_positions: 16, vocabulary: 260, "
        "token_types: 2, norm_eps: 1.0e-12, activation: gelu}"
    )
    # A device's worth of hardware would take long to interpret: it gets as little as there can be.
    monkeypatch.setattr(demonstration, "plan", lambda *model, **options: ENCODER)
    options = ["--model", str(model), "--random-weights", "--simulator", "amaranth", "--waves", str(waves)]
    assert main([*options, "--text", "Hi"]) == 0
    assert "bit-exact" in capsys.readouterr().out
    assert waves.read_text().startswith("$")
    assert is_waves(waves)


def test_an_empty_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused([*TINY, "--text", " "], capsys) == "text must have at least one word, not be empty"


def test_a_text_that_is_too_long_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused([*TINY, "--text", "seventeen letters and more"], capsys)
    assert (
        line
        == "text 'seventeen letters and more' must have at most 16 tokens, not 28; shorten it or raise --max-length"
    )


def test_a_model_too_large_for_amaranths_simulator_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["--model", "bert-base", "--random-weights", "--simulator", "amaranth", "--text", "Hi"], capsys)
    assert line == (
        "Amaranth's simulator is for models of up to 200,000 weights per layer, such as tiny-bert and tiny-gpt2; "
        "'bert-base' has 7,077,888: use --simulator verilator"
    )


def test_waves_that_cannot_be_written_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "none" / "waves.vcd"
    line = refused([*TINY, "--text", "Hi", "--waves", str(path)], capsys)
    assert line == f"waves file {path} cannot be written: No such file or directory; choose another --waves"


def test_waves_replace_only_waves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("all of it")
    line = refused([*TINY, "--text", "Hi", "--waves", str(thesis)], capsys)
    assert line == (
        f"output file {thesis} must be new or an earlier output of sim; choose another --waves, or replace the file "
        "with --force"
    )
    assert thesis.read_text() == "all of it"


def test_a_model_that_cannot_be_built_is_refused_before_its_weights_are_sought(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused(["--model", "gpt2-xl", "--prompt", "Hi"], capsys)
    assert line == "model 'gpt2-xl' cannot be built yet: array contraction must have at most 4096 terms, not 6400"


def test_an_unknown_model_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["--model", "minilm", "--text", "Hi"], capsys)
    assert "minilm-l6" in line
    assert "bert-base" in line


def test_threads_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for threads in (0, THREADS.most + 1):
        line = refused([*TINY, "--text", "Hi", "--threads", str(threads)], capsys)
        assert line == f"threads must be 1 to {THREADS.most} ({THREADS.why}), not {threads}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "tiny-gpt2"], "--prompt must be given for model 'tiny-gpt2'"),
        (["--model", "tiny-bert"], "--text must be given for model 'tiny-bert'"),
        (
            ["--model", "tiny-gpt2", "--text", "Hi"],
            "--text must be left out for model 'tiny-gpt2', of the family gpt2",
        ),
        (
            ["--model", "tiny-bert", "--text", "Hi", "--top-k", "3"],
            "--top-k must be left out for model 'tiny-bert', of the family bert",
        ),
        (["--model", "tiny-gpt2", "--prompt", "Hi", "--top-k", "65"], "top-k must be 1 to 64, not 65"),
        (["--model", "tiny-gpt2", "--prompt", "Hi", "--top-k", "0"], "top-k must be 1 to 64, not 0"),
        (["--model", "tiny-gpt2", "--prompt", ""], "text must have at least one word, not be empty"),
        (
            ["--model", "tiny-gpt2", "--prompt", "Hi", "--seed", "-1"],
            "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not -1",
        ),
        (
            ["--model", "tiny-gpt2", "--prompt", "Hi", "--temperature", "nan"],
            "temperature must be 0 to 100 (all candidates are about as likely there), not nan",
        ),
        (
            ["--model", "tiny-gpt2", "--prompt", "Hi", "--weight-bits", "5"],
            "weight-bits must be 8 or 4, not 5",
        ),
        (
            ["--model", "tiny-gpt2", "--prompt", "Hi", "--weight-bits", "4", "--int8", "k"],
            "int8 must be of qkv, projection, ffn1, ffn2, head, not 'k'",
        ),
        (
            ["--model", "tiny-bert", "--text", "Hi", "--weight-bits", "4", "--int8", "head"],
            "--int8 must be left out for model 'tiny-bert', of the family bert",
        ),
        (
            ["--model", "tiny-gpt2", "--prompt", "Hi", "--temperature", "-1"],
            "temperature must be 0 to 100 (all candidates are about as likely there), not -1",
        ),
        (["--model", "tiny-gpt2", "--prompt", "Hi", "--tokens", "0"], "tokens to generate must be at least 1, not 0"),
        (
            ["--model", "tiny-gpt2", "--prompt", "a", "--tokens", "17", "--max-length", "16"],
            "prompt and tokens must take at most max-length 16 positions, not 17",
        ),
        (["--model", "tiny-gpt2", "--prompt", " "], "text must have at least one word, not be empty"),
        (
            ["--model", "gpt2", "--random-weights", "--prompt", "Hi", "--simulator", "amaranth"],
            "Amaranth's simulator is for models of up to 200,000 weights per layer, such as tiny-bert and tiny-gpt2; "
            "'gpt2' has 7,077,888: use --simulator verilator",
        ),
    ],
)
def test_bad_input_of_a_decoder_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(arguments, capsys) == message


def test_a_decoder_on_a_device_without_memory_timing_is_refused_before_planning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.demonstration.plan", None)
    line = refused(["--model", "tiny-gpt2", "--prompt", "Hi", "--device", "u50"], capsys)
    assert line == (
        "device 'u50' must have a memory with timing to simulate a decoder, and its file has none; "
        "devices with it: u280"
    )


def test_waves_in_place_of_a_folder_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refused([*TINY, "--text", "Hi", "--waves", str(tmp_path)], capsys)
    assert line == f"waves file {tmp_path} must be a file to write, and is a folder; name a file in it"


@pytest.mark.parametrize("arguments", [["--model", "tiny-gpt2", "--prompt"], [*TINY, "--text"]])
def test_a_text_that_is_no_unicode_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = refused([*arguments, "caf\udce9"], capsys)  # what Python makes of a Latin-1 argument
    assert line == "text 'caf\\udce9' must be in UTF-8"
