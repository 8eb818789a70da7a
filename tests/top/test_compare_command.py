"""The command `compare`."""

import json
import re
from math import isnan, log2, nan
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from hdl.model.load import networks
from hdl.perf import compare, devices
from hdl.perf.comparison.compare import METRICS
from hdl.top.console import PLAIN_WIDTH
from hdl.top.emitted import described
from hdl.top.maps import draw_line, picture, reach

from .commands import Run


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "--model", "tiny-gpt2", "compare", "--max-length", "64")
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.out.splitlines())) <= PLAIN_WIDTH
    found = compare("tiny-gpt2", "u280", "a100", max_length=64)
    assert run.out.startswith(f"emit makes this design: {described(found.chosen.design)}.\n")
    assert run.printed == [["--model", "tiny-gpt2", "emit", "--device", "u280", "--prompt", "32", "--output", "32"]]
    assert "u280 has this design at all lengths." in run.out
    point = found.at(16, 32)
    assert point is not None
    rows = [line.split() for line in run.out.splitlines() if line.split()[:1] == ["16"]]
    assert [row[2] for row in rows] == [f"{point.ratio(metric):.2f}" for metric in METRICS]
    for metric, (meaning, _) in METRICS.items():
        assert f"tiny-gpt2, {metric}: {meaning}" in run.out
    said, wins = " ".join(run.out.split()), found.wins("latency")
    start = "Figures: times that u280 is better than a100. It wins above 1, at"
    assert f"{start} {wins} of {len(found.points)} pairs of lengths." in said
    assert "All figures are estimates for 1 sequence at once; cycles are estimated, within 7% of the counted" in said
    assert "Assumed for u280: weights of 8 bits, 300 MHz" in said


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--device", "u50", "--against", "t4", "--software", "eager", "--format", "int8", "--clock", "250")
    run = Run(capsys, "compare", "--model", "tiny-bert", *options, "--max-length", "32", "--json")
    assert (run.code, run.err) == (0, "")
    found = compare(
        "tiny-bert", "u50", "t4", max_length=32, software="eager", number_format="int8", clock_mhz=250
    ).as_dict()
    shown = json.loads(run.out)
    made = shown.pop("emit")
    assert made["refusal"] == ""
    assert made["command"].endswith("--model tiny-bert emit --device u50 --prompt 32 --clock 250")
    assert shown == json.loads(json.dumps(found))


def test_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    drawn = []
    for name in ("a/b", "c"):
        out = tmp_path / name
        run = Run(capsys, "--model", "tiny-gpt2", "compare", "--max-length", "64", "--out", str(out))
        assert (run.code, run.err) == (0, "")
        assert run.out.endswith(f"{out}: latency.svg, throughput.svg, energy.svg\n")
        drawn.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert sorted(drawn[0]) == sorted(f"{metric}.svg" for metric in METRICS)
    assert drawn[0] == drawn[1]
    for content in drawn[0].values():
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_map_has_the_table_s_axes_and_colours_as_far_as_its_figures() -> None:
    found = compare("tiny-gpt2", "u280", "a100", max_length=64)
    text = picture(found, "latency")
    ratios = [
        [point.ratio("latency") if (point := found.at(p, o)) else nan for o in found.outputs] for p in found.prompts
    ]
    far = max(abs(log2(ratio)) for row in ratios for ratio in row if not isnan(ratio))
    assert reach(ratios) == max(0.1, far)
    assert reach([[1.0, nan]]) == 0.1
    words = [one.strip() for one in re.findall(r"<!--(.*?)-->", text)]
    for tick in (-far, 0, far):
        assert f"{2.0**tick:.2f}" in words
    # Prompts from the top down and outputs from the left, as in the table.
    heights = [words.index(f"{prompt:,}") for prompt in found.prompts]
    assert heights == sorted(heights)


def test_a_line_stands_where_the_winner_changes() -> None:
    axes = Figure().subplots()
    draw_line(axes, [[0.5, 2.0], [0.5, nan]])
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0.5, -0.5], [0.5, 0.5]]]
    draw_line(axes, [[1.0], [0.99]])
    assert axes.lines[1].get_xydata().tolist() == [[-0.5, 0.5], [0.5, 0.5]]


def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "below"
    run = Run(capsys, "--model", "tiny-gpt2", "compare", "--max-length", "8", "--out", str(out))
    assert run.complaint() == (
        f"output file {out / 'latency.svg'} cannot be written: {tmp_path / 'file'} is not a folder"
    )
    run = Run(capsys, "--model", "tiny-gpt2", "compare", "--max-length", "8", "--out", str(tmp_path / "file"))
    assert run.complaint() == f"output {tmp_path / 'file'} must be a folder, not a file; choose another --out"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_only_its_own_pictures_are_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["--model", "tiny-gpt2", "compare", "--max-length", "8", "--out", str(tmp_path)]
    (tmp_path / "energy.svg").write_text("<svg>mine</svg>")
    assert Run(capsys, *command).complaint() == (
        f"output file {tmp_path / 'energy.svg'} must be new or an earlier output of compare; choose another --out, or "
        "replace the file with --force"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["energy.svg"]
    for options in (["--force"], []):
        assert Run(capsys, *command, *options).code == 0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", f"a model must be given with --model; known: {', '.join(networks())}, or a path to a config.json"),
        ("--model gpt2 --device a100", "device must be an FPGA, not a GPU as 'a100'; known: "),
        ("--model gpt2 --against u50", "against must be a GPU, not an FPGA as 'u50'; known: a100, h100, rtx2080ti, t4"),
        ("--model gpt2 --against no", f"device 'no' is unknown; known: {', '.join(devices())}"),
        ("--model gpt2 --max-length 2000", "max-length must be 2 to 1024, the positions of model 'gpt2', not 2000"),
        ("--model gpt2 --max-length x", "Invalid value for '--max-length': 'x' is not a whole number; see --help"),
        ("--model gpt2 --format int2", "format of device 'a100' must be int8 or fp16 or bf16, not 'int2'"),
        ("--model gpt2 --software no", "software of a GPU must be captured or eager, not 'no'"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    complaint = Run(capsys, "compare", *arguments.split()).complaint()
    assert complaint == message if not message.endswith("known: ") else complaint.startswith(message)
