"""Numbers on the command line: every option refuses what would make a command run for ever, before it begins."""

import sys

import click
import pytest

from hdl.bounds import SEQUENCES, Bounds
from hdl.model.load import load_network
from hdl.perf.estimate import estimate
from hdl.top.cli import cli

from .commands import Run

POINTS = "points must be 1 to 10,000,000 (all points are kept in memory), not"
CLOCK = "clock must be 1 to 1,200 MHz (the DSPs of no FPGA are faster), not"
SEED = "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not"
SEQUENTIAL = f"sequences must be 1 to 65,536 ({SEQUENCES.why}), not"
POSITIONS = "prompt and output of model 'gpt2' must be at most its 1024 positions, not"


def test_every_number_is_of_a_type_that_is_checked() -> None:
    """None is click's own, which takes infinity, and no number of 5,000 digits."""
    options = [option for command in cli.commands.values() for option in command.params]
    assert len(options) > 50
    for option in options:
        assert not isinstance(option.type, type(click.INT) | type(click.FLOAT)), option.name


@pytest.mark.parametrize("command", ["estimate", "scale", "report", "compare"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--clock", "inf", f"{CLOCK} inf"),
        ("--clock", "nan", f"{CLOCK} nan"),
        ("--clock", "1e9", f"{CLOCK} 1e+09"),
        ("--clock", "1e-9", f"{CLOCK} 1e-09"),
        ("--clock", "-300", f"{CLOCK} -300"),
        ("--clock", "fast", "Invalid value for '--clock': 'fast' is not a number; see --help"),
        ("--sequences", "1000000", f"{SEQUENTIAL} 1000000"),
        ("--sequences", "0", f"{SEQUENTIAL} 0"),
        ("--sequences", "1.5", "Invalid value for '--sequences': '1.5' is not a whole number; see --help"),
    ],
)
def test_bounds_of_what_is_run(
    capsys: pytest.CaptureFixture[str], command: str, option: str, value: str, message: str
) -> None:
    assert Run(capsys, command, "--model", "gpt2", option, value).complaint() == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("explore --points 1000000000", f"{POINTS} 1000000000"),
        ("explore --points 0", f"{POINTS} 0"),
        ("explore --seed -1", f"{SEED} -1"),
        ("explore --seed 4294967296", f"{SEED} 4294967296"),
        ("report --points -1", f"{POINTS.replace('1', '0', 1)} -1"),
        ("report --seed 1e3", "Invalid value for '--seed': '1e3' is not a whole number; see --help"),
        ("scale --devices 65", "devices must be 1 to 64 (larger rings are not estimated), not 65"),
        ("scale --devices 0", "devices must be 1 to 64 (larger rings are not estimated), not 0"),
        ("scale --tensor 0", "tensor must be at least 1 device, not 0"),
        (
            "scale --tensor 1000000",
            "tensor must divide the 12 heads of model 'gpt2' and its 12 kv_heads, not 1000000; possible: 1, 2, 3, 4, "
            "6, 12",
        ),
        *(
            (f"{command} --prompt 1000000000000", f"{POSITIONS} 1000000000000")
            for command in ("estimate", "scale", "report", "explore")
        ),
        ("estimate --output 2000", f"{POSITIONS} 2128"),
        ("estimate --output -1", "output must be at least 0 tokens, not -1"),
        ("estimate --prompt 0", "prompt must be at least 1 token, not 0"),
        ("estimate --tile 1024", "tile must be 2, 4 or 8 tokens, not 1024"),
        ("compare --max-length 1000000", "max-length must be 2 to 1024, the positions of model 'gpt2', not 1000000"),
        ("emit --max-length 1000000", "max-length must be 1 to 1024, the positions of model 'gpt2', not 1000000"),
        ("describe --tile 0", "tile must be 2, 4 or 8 tokens, not 0"),
    ],
)
def test_bounds(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    command, *others = arguments.split()
    assert Run(capsys, command, "--model", "gpt2", *others).complaint() == message


def test_a_number_of_too_many_digits(capsys: pytest.CaptureFixture[str]) -> None:
    for digits, wrong in ((1000, "has too many digits"), (5000, "is not a whole number")):
        said = Run(capsys, "estimate", "--model", "gpt2", "--prompt", "9" * digits).complaint()
        assert said.startswith("Invalid value for '--prompt': '9999")
        assert said.endswith(f"9' {wrong}; see --help")
        assert len(said) < 160


def test_sequences_that_no_memory_holds_are_refused_before_a_design_is_sought(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules["hdl.perf.choice.estimated"],
        "candidates",
        lambda *arguments, **options: pytest.fail("worked in vain"),
    )
    gpt2 = load_network("gpt2")
    needed = (gpt2.parameters + 65_536 * gpt2.layers * gpt2.kv_features * 192) / 1e9
    said = Run(capsys, "estimate", "--model", "gpt2", "--sequences", "65536").complaint()
    assert said == f"model 'gpt2' does not fit device 'u280': memory capacity: {needed:,.6g} GB needed, 8 available"


def test_bounds_hold_for_the_library_too() -> None:
    for options in ({"sequences": 10**6}, {"clock_mhz": float("nan")}):
        with pytest.raises(ValueError, match="must be 1 to"):
            estimate("gpt2", "u280", **options)  # type: ignore[arg-type]
    assert isinstance(SEQUENCES, Bounds)
