"""The command `spatial-llm`: all commands under one name, and what shells complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hdl.model.load import networks, presets
from hdl.perf.device import devices, load_device
from hdl.top.cli import cli
from sim.command import sim_command
from sim.spatial_llm import COMPLETION_VARIABLE, main, spatial_llm

ROOT = Path(__file__).parents[2]


def completed(line: str) -> set[str]:
    """What bash is offered behind a line, whose last word is begun."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), COMPLETION_VARIABLE: "bash_complete"}
    script = "from sim.spatial_llm import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return {answer.partition(",")[2] for answer in done.stdout.splitlines()}


def test_it_has_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert spatial_llm.commands.items() >= {**cli.commands, "sim": sim_command}.items()
    assert main(["list"]) == 0
    assert "Alveo U280" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command; see --help"),
        (["sim"], f"a model must be given with --model; known: {', '.join(presets())}, or a path to a "
         "config.json"),
        (["--model", "tiny-bert", "sim"], "--text must be given for model 'tiny-bert'"),
        (["--model", "tiny-bert", "sim", "--model", "tiny-gpt2"], "--prompt must be given for model 'tiny-gpt2'"),
        (["completion", "tcsh"], "Invalid value for 'SHELL': 'tcsh' is not one of 'bash', 'zsh', 'fish'; see --help"),
    ],
)  # fmt: skip
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


@pytest.mark.parametrize(
    ("shell", "registered"),
    [
        ("bash", "-F _spatial_llm_completion spatial-llm\n"),
        ("zsh", "compdef _spatial_llm_completion spatial-llm\n"),
        ("fish", '--command spatial-llm --arguments "(_spatial_llm_completion)"'),
    ],
)
def test_a_shell_s_script(shell: str, registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{COMPLETION_VARIABLE}={shell}_complete" in script
    assert registered in script


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("spatial-llm e", {"emit", "estimate", "explore"}),
        ("spatial-llm sim --te", {"--text", "--temperature"}),
        ("spatial-llm emit --model gpt2-", {name for name in networks() if name.startswith("gpt2-")}),
        ("spatial-llm emit --model my", {"my"}),
        ("spatial-llm estimate --device ", {name for name in devices() if load_device(name).kind == "fpga"}),
        ("spatial-llm compare --against ", {name for name in devices() if load_device(name).kind == "gpu"}),
    ],
)
def test_what_is_completed(line: str, words: set[str]) -> None:
    assert completed(line) == words
