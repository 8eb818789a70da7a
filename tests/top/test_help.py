"""--help and --version: quick, since nothing heavy is loaded for them."""

import subprocess
import sys
from pathlib import Path

import pytest

from hdl.version import VERSION

ROOT = Path(__file__).parents[2]

ALLOWED = {"click", "hdl", "sim"}
"""Packages beside Python's own that may be loaded for a help text."""

COMMANDS = [
    "list",
    "describe",
    "emit",
    "image",
    "quantise",
    "estimate",
    "explore",
    "compare",
    "scale",
    "report",
    "perplexity",
]

SCRIPT = """
import sys
from importlib import import_module
before = set(sys.modules)
main = import_module(sys.argv[1]).main
code = main(sys.argv[2:])
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(code, *sorted(name for name in loaded if not name.startswith("_")), file=sys.stderr)
"""


def shown(module: str, *arguments: str) -> str:
    """What a command line prints, where it ends with 0 and loads nothing but `ALLOWED`."""
    command = [sys.executable, "-c", SCRIPT, module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert set(loaded) <= ALLOWED
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_s_help_loads_nothing_heavy(command: str) -> None:
    assert shown("hdl.top.cli", command, "--help").startswith(f"Usage: python -m hdl.top {command} [OPTIONS]")


def test_help_of_all_commands() -> None:
    text = shown("hdl.top.cli", "--help")
    assert {line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line} == set(COMMANDS)


def test_help_of_the_simulation() -> None:
    assert shown("sim.command", "--help").startswith("Usage: python -m sim [OPTIONS]")


def test_help_of_spatial_llm() -> None:
    text = shown("sim.spatial_llm", "--help")
    commands = {line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line}
    assert commands == {*COMMANDS, "sim", "completion"}
    assert shown("sim.spatial_llm", "sim", "--help").startswith("Usage: spatial-llm sim [OPTIONS]")


@pytest.mark.parametrize("module", ["hdl.top.cli", "sim.command", "sim.spatial_llm"])
def test_the_version(module: str) -> None:
    assert shown(module, "--version") == f"spatial-llm {VERSION}\n"
