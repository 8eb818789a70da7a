"""A user's own configuration on the command line: a note of what is ignored, one line and exit code 2 for a mistake."""

import json
from pathlib import Path
from typing import Any

import pytest

from sim.command import main as simulate

from .commands import Run

BERT: dict[str, Any] = {
    "model_type": "bert", "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 16, "vocab_size": 300, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 16, "vocab_size": 300, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "rope_theta": 10000.0,
}  # fmt: skip


def folder(path: Path, config: Any) -> str:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


def test_notes_and_a_name_with_brackets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = folder(tmp_path / "[red]m", {key: BERT[key] for key in BERT if key != "layer_norm_eps"} | {"fancy": 1})
    notes = (
        f"note: {model}/config.json leaves out what Hugging Face has defaults for; they are used: "
        "layer_norm_eps 1e-12\n"
        f"note: {model}/config.json has keys that are not known and are ignored: 'fancy'; "
        "the network is taken for a plain BERT\n"
    )
    run = Run(capsys, "--model", model, "describe")
    assert (run.code, run.err) == (0, notes)
    assert run.out.startswith("[red]m on Alveo U280, ")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BERT | {"auto_map": {"AutoModel": "own.Own"}},
         "auto_map in FILE must be left out, not {'AutoModel': 'own.Own'}; it makes another network than a plain BERT"),
        (BERT | {"num_hidden_layers": 100_000},
         "layers of model 'm' must be at most 256, not 100000: the deepest published models have about 130"),
        ("[" * 100_000, "model file FILE must be valid JSON, but is nested too deeply"),
        ('{"hidden_size": ' + "9" * 5_000 + "}",
         "model file FILE must be valid JSON: Exceeds the limit (4300 digits) for integer string conversion: "
         "value has 5000 digits"),
        ('{"hidden_size": NaN}', "model file FILE must be valid JSON with finite numbers, not NaN"),
        ('{"hidden_size": 1, "hidden_size": 2}', "model file FILE must have the key 'hidden_size' once, not twice"),
        ("[1]", "FILE must be a Hugging Face configuration, a JSON object, not [1]"),
    ],
    ids=["auto_map", "layers", "deep", "digits", "nan", "twice", "list"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["describe", "estimate", "emit", "quantise --out q"])
def test_estimate_and_build_refuse_alike(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, config: Any,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    model = folder(tmp_path / "m", config)
    run = Run(capsys, "--model", model, *command.split())
    expected = message.replace("FILE", f"{model}/config.json")
    assert (run.code, run.out, run.err) == (2, "", f"error: {expected}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


FEATURES = "layer norm features must be 8 to 4096, not 4104"
TERMS = "array contraction must have at most 4096 terms, not 20000"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"hidden_size": 4104, "num_attention_heads": 513}, FEATURES), ({"intermediate_size": 20_000}, TERMS)],
    ids=["hidden", "intermediate"],
)
def test_sizes_that_no_kernel_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "m", BERT | change)
    for command in ("describe", "emit"):
        assert Run(capsys, "--model", "m", command).complaint() == f"model 'm' cannot be built yet: {reason}"
    assert simulate(["--model", "m", "--random-weights", "--text", "A"]) == 2
    assert capsys.readouterr().err == f"error: model 'm' cannot be built yet: {reason}\n"
    quantise = ["--model", "m", "quantise", "--random-weights", "--out", "q"]
    if reason == FEATURES:
        assert Run(capsys, *quantise).complaint() == f"model 'm' cannot be quantised: {reason}"
        assert [path.name for path in tmp_path.iterdir()] == ["m"]
    else:
        # Its integers exist, though no array is long enough for them.
        assert Run(capsys, *quantise).code == 0


def test_networks_without_hardware(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = folder(tmp_path / "m", LLAMA)
    message = (
        "error: model {!r} cannot be built yet: there is no hardware yet for RMSNorm, rotary positions and gates\n"
    )
    for name, own in ((model, "m"), ("llama-2-7b", "llama-2-7b")):
        run = Run(capsys, "--model", name, "describe")
        assert (run.code, run.err) == (2, message.format(own))
        assert simulate(["--model", name, "--prompt", "A"]) == 2
        assert capsys.readouterr().err == message.format(own)
