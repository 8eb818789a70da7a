"""The command `report`: what its page says."""

import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hdl.model.load import load_network
from hdl.perf import Estimate, device, estimate, estimate_design, explore, load_device
from hdl.perf.schedule.encoder_schedule import counted_cycles
from hdl.top.emitted import described
from hdl.top.estimate_tables import bounds
from hdl.top.report import changes as changing
from hdl.top.report import report_data as gathering
from hdl.top.report.occupancy import traced_encoder
from hdl.top.report.page import advice, page, slack
from hdl.top.report.report_data import Report, front_of, report_data
from hdl.top.report.stages import stage_timelines
from hdl.top.report.text import duration, gain, number, percent, rounded, short

from .commands import Run

GENERATED = '<meta name="generator" content="spatial-llm">'

SMALL = ["--prompt", "16", "--tile", "4", "--points", "300"]


def plain(text: str) -> str:
    """A text with one space wherever there is room."""
    return " ".join(text.split())


class Read(HTMLParser):
    """The words of a page, cell by cell and heading by heading, and its tags with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(plain(data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def made(model: str, board: str = "u280", points: int = 0, **asked: Any) -> Report:
    found = estimate(model, board, **asked)
    return report_data(found, asked, model=model, points=points, seed=0, command="the command")


@pytest.fixture(scope="module")
def encoder() -> Report:
    return made("tiny-bert", prompt=24, tile=4, points=300)


@pytest.fixture(scope="module")
def decoder() -> Report:
    return made("tiny-gpt2", prompt=16, output=8, tile=4, points=300)


@pytest.fixture(scope="module")
def streamed() -> Report:
    return made("llama-2-7b", prompt=32, output=16, tile=4, points=300)


@pytest.mark.parametrize("name", ["encoder", "decoder", "streamed"])
def test_the_figures_are_the_estimate_s(name: str, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(name)
    found, words = report.found, Read(page(report)).words
    timings = [found.first_token, *([found.token] if found.token else [])]
    for timing in timings:
        limit = f"limit {duration(timing.limit)} ({timing.bound}); {percent(timing.ratio)} of the limit reached"
        at = words.index(plain(limit))
        assert words[at - 2 : at] == [duration(timing.seconds), plain(f"{percent(timing.ratio)} of the limit")]
    assert number(found.tokens_a_second) in words
    assert f"{number(1e3 * found.joules_a_token)} mJ" in words
    for one in found.constraints:
        at = words.index(one.name)
        row = [
            plain(percent(one.used)),
            plain(percent(one.used) + " used"),
            f"{number(one.needed)} {one.unit}",
            f"{number(one.available)} {one.unit}",
            slack(one),
        ]
        assert words[at + 1 : at + 6] == row
    for phase in (found.prefill, found.decode):
        for stage, cycles in phase.stages.items() if phase else ():
            at = [place for place, word in enumerate(words) if word == stage]
            assert any(words[place + 2] == number(cycles) for place in at), stage
    for part in (found.network.name, found.device.board, f"{found.clock_mhz:g} MHz", found.watts_source, "the command"):
        assert any(part in word for word in words), part


@pytest.mark.parametrize("name", ["encoder", "decoder", "streamed"])
def test_a_page_is_whole_and_by_itself(name: str, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(name)
    text = page(report)
    read = Read(text)
    assert text == page(report)
    assert GENERATED in text[:1024]
    assert len(text) < 500_000
    # Nothing from elsewhere: no address but the empty icon's, no script.
    assert not read.all("script")
    assert [link["href"] for link in read.all("link")] == ["data:,"]
    assert not re.search(r"https?://|@import|url\(|src=", text)
    pictures = read.all("svg")
    assert len(pictures) > 20
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)
    assert len(read.all("title")) > len(pictures)
    assert "prefers-color-scheme: dark" in text
    headings = ("help", "stages", "occupancy", "roofline", "constraints", "resources", "front", "limits")
    assert [one["id"] for one in read.all("section")] == list(headings)


@pytest.mark.parametrize("name", ["encoder", "decoder", "streamed"])
def test_a_page_begins_with_its_design(name: str, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(name)
    words = Read(page(report)).words
    shown = described(report.found.design)
    command = "python -m hdl.top --model tiny-{} emit --device u280 --prompt {} --tile 4"
    if name == "streamed":
        why = "there is no hardware yet for RMSNorm, rotary positions and gates"
        assert f"Estimated only: {shown}. emit makes no design for this work: {why}." in words
        assert not [word for word in words if word.startswith("python -m hdl.top --model")]
    else:
        made = command.format("bert", 24) if name == "encoder" else command.format("gpt2", "16 --output 8")
        at = words.index(f"emit makes this design: {shown}.")
        assert words[at + 1] == made
        assert at < words.index("What would help most")
    for sentence in bounds(report.found):
        assert plain(sentence) in words


def contrast(one: str, other: str) -> float:
    """How many times brighter one of two colours is, as the WCAG counts."""

    def light(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_marks_stand_out_by_day_and_by_night(encoder: Report) -> None:
    text = page(encoder)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "opacity" not in style
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("prefers-color-scheme: dark")]
    marks = {"blue", "orange", "green", "violet", "grey"}
    for scheme in schemes:
        assert marks < set(scheme)
        assert all(contrast(scheme[mark], scheme["sheet"]) >= 3 for mark in marks)
    # Every dot has one of these colours.
    for kind in ("fits", "one", "many", "streamed", "own"):
        fill = re.search(rf"\.plot \.{kind} {{ fill: var\(--(\w+)\)", style)
        assert fill is not None
        assert fill[1] in marks


def test_a_table_that_is_too_wide_shows_it(decoder: Report) -> None:
    text = page(decoder)
    assert text.count("<table") == len(re.findall(r'<div class="scroll"[^>]*><table', text)) > 5
    rule = re.search(r"\.scroll {(.*?)}", text, re.DOTALL)
    assert rule is not None
    # Shadows stay at the sides; covers of the sheet's colour go with the table's ends.
    assert rule[1].count("scroll") == rule[1].count("local") == 2


def test_a_command_s_page_is_the_same_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    texts = []
    for name in ("new/a.html", "b.html"):
        out = tmp_path / name
        run = Run(capsys, "--model", "tiny-bert", "report", *SMALL, "--out", str(out))
        assert (run.code, run.err) == (0, "")
        assert run.out == f"{out}: tiny-bert on Alveo U280, {out.stat().st_size:,} bytes\n"
        assert [path.name for path in out.parent.iterdir() if path.is_file()] == [out.name]
        texts.append(out.read_bytes())
    assert texts[0] == texts[1]
    again = "python -m hdl.top --model tiny-bert report --device u280 --prompt 16 --sequences 1 "
    assert f"{again}--tile 4 --points 300 --seed 0</code>" in texts[0].decode()


def test_the_schedule_is_the_run_s(encoder: Report) -> None:
    spec, layers = encoder.found.design.spec, encoder.found.network.layers
    cycles, run = traced_encoder(spec, 24, layers)
    spans = run.spans()
    assert cycles == counted_cycles(spec, 24, layers) == encoder.found.prefill.cycles
    for name, every in spans.items():
        assert {one.turn for one in every} == set(range(layers)), name
        ordered = sorted(every, key=lambda one: one.start)
        # A unit does one thing at a time.
        assert all(one.end <= after.start for one, after in pairwise(ordered)), name
    # A unit is busy with every tile of every layer for as long as its spec says.
    tiles = -(-24 // spec.rows)
    for name in ("qkv", "ffn2"):
        assert sum(one.work for one in spans[name]) == pytest.approx(layers * tiles * spec.linear(name).cycles(1))


@pytest.mark.parametrize("name", ["encoder", "decoder", "streamed"])
def test_times_lie_in_their_phase(name: str, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(name)
    found = report.found
    ends = [timing.seconds * found.clock_mhz * 1e6 for timing in (found.first_token, found.token) if timing]
    titles = ("The whole run", "The prompt", f"A token after {found.prompt + found.output // 2} others")
    whole = [one for one in report.timelines if one.title in titles or not one.exact]
    assert [one.end for one in whole] == pytest.approx(ends)
    assert [one.exact for one in report.timelines] == {
        "encoder": [True] * 2, "decoder": [True] * 4, "streamed": [False] * 2
    }[name]  # fmt: skip
    for one in report.timelines:
        assert ("A model of stages" in one.note) is not one.exact
        for unit, spans in one.rows.items():
            assert spans, unit
            assert one.start <= min(span.start for span in spans)
            assert max(span.end for span in spans) <= one.end * (1 + 1e-9)
            assert one.busy[unit] == pytest.approx(sum(span.work for span in spans))
            assert 0 < one.busy[unit] <= (one.end - one.start) * (1 + 1e-9)


def test_memory_or_the_units_decide() -> None:
    slow = load_device("u280").model_copy(
        update={
            "memories": tuple(one.model_copy(update={"bandwidth_gb_s": 100}) for one in load_device("u280").memories)
        }
    )
    found = estimate("llama-3.2-1b", slow, prompt=32, output=16, tile=4)
    token = stage_timelines(found)[1]
    assert token.busy["memory"] == pytest.approx(token.end)
    assert "memory sets the time" in token.note
    fast = estimate("tiny-gpt2", "u280", prompt=16, output=8, tile=4)
    assert "the units set the time" in stage_timelines(fast)[1].note


def test_gains_are_those_of_new_estimates(decoder: Report) -> None:
    base = estimate_design(decoder.found.design, decoder.found.device, decoder.found.workload, counted=False)
    found = {one.name: one for one in decoder.changes}
    assert len(found) == 10
    faster = estimate("tiny-gpt2", "u280", prompt=16, output=8, tile=4, clock_mhz=330, counted=False)
    one = found["10 % more clock"]
    assert one.latency_gain == base.seconds / faster.seconds - 1 > 0.05
    assert one.throughput_gain == faster.tokens_a_second / base.tokens_a_second - 1
    two = estimate("tiny-gpt2", "u280", prompt=16, output=8, tile=4, weight_bits=4, counted=False)
    assert found["weights of 4 bits"].found == two
    # Nothing that a tiny network is short of.
    assert found["10 % more FF"].latency_gain == 0
    gains = [one.latency_gain for one in decoder.changes if one.found]
    assert gains == sorted(gains, reverse=True)
    text = page(decoder)
    assert "<td>10 % more FF</td><td>none</td>" in text
    assert f"<td>10 % more clock</td><td>{gain(one.latency_gain)}</td>" in text


def test_a_change_that_does_not_fit_says_so(decoder: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(network: Any, board: Any, *, clock_mhz: float | None = None, **asked: Any) -> Estimate:
        if clock_mhz is not None:
            raise changing.InputError("too fast by 30 MHz")
        assert not asked["counted"]
        return estimate_design(decoder.found.design, decoder.found.device, decoder.found.workload, counted=False)

    monkeypatch.setattr(changing, "estimate", refusing)
    report = report_data(decoder.found, {}, model="tiny-gpt2", points=0, seed=0, command="")
    last = report.changes[-1]
    assert (last.name, last.found, last.refusal) == ("10 % more clock", None, "too fast by 30 MHz")
    assert "too fast by 30 MHz" in page(report)
    assert advice(report.changes) == "None of these changes makes the work faster."


def test_the_front(decoder: Report) -> None:
    found = explore("tiny-gpt2", "u280", points=300, prompt=16, output=8)
    assert decoder.front is not None
    assert [one.figures for one in decoder.front.front] == [one.figures for one in found.front]
    read = Read(page(decoder))
    assert f"{len(found.front)} points as a table" in read.words
    assert [duration(one.figures["token_s"]) in read.words for one in found.front] == [True] * len(found.front)
    kinds = [one["class"] for one in read.all("circle")]
    panels = 3
    assert sum(kind in ("one", "many", "streamed") for kind in kinds) == panels * len(found.front)


def test_a_sentence_in_place_of_the_front() -> None:
    network, board = load_network("tiny-bert"), load_device("u280")
    asked = {"prompt": 16, "output": 0, "seed": 0}
    assert front_of(network, board, points=0, **asked) == (
        None,
        "There is no front, since the page was made with --points 0.",
    )
    odd = load_network("llama-2-7b")
    nothing = board.model_copy(update={"slrs": tuple(one.model_copy(update={"dsp": 1}) for one in board.slrs)})
    front, why = front_of(network, nothing, points=50, **asked)
    assert front is None
    assert why == "None of the 50 designs fits the device. The constraint that refuses most of them: compute."
    front, why = front_of(odd, board, points=50, prompt=odd.max_positions, output=1, seed=0)
    assert front is None
    assert why.startswith("There is no front: prompt and output of model 'llama-2-7b' must be at most its 4096")


@pytest.mark.parametrize(
    "board", [name for name in device.devices() if load_device(name).family in ("ultrascale+", "versal")]
)
def test_every_device(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "changes", lambda *arguments: ())
    report = made("tiny-gpt2", board, prompt=16, output=4, tile=4)
    text = page(report)
    slrs = len(report.found.device.slrs)
    assert text.count("lines used</td>") == slrs - 1
    for name in ("dsp", "lut"):
        used = sum(getattr(one, name) for region in report.plan.regions for one in region.values())
        assert used == getattr(report.found.resources, name)
    assert report.found.device.board in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "a model must be given with --model; known: "),
        ("--model nothing", "model 'nothing' is unknown"),
        ("--model tiny-bert --device nil", "device 'nil' is unknown; known: "),
        ("--model tiny-bert --device a100", "estimates are for FPGAs of the families "),
        ("--model tiny-bert --points -1", "points must be 0 to 10,000,000 (all points are kept in memory), not -1"),
        ("--model tiny-bert --seed -1", "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not -1"),
        ("--model tiny-bert --prompt 129", "prompt and output of model 'tiny-bert' must be at most its 128"),
        ("--model tiny-bert --tile 3", "tile must be 2, 4 or 8 tokens, not 3"),
        ("--model tiny-bert --tile 4 --out file/x.html", "output file file/x.html cannot be written: "),
        ("--model tiny-bert --out folder", "output folder must be a file, not a folder; choose another --out"),
        ("--model bert-base --device kv260", "model 'bert-base' does not fit device 'kv260': "),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    assert Run(capsys, "report", *arguments.split()).complaint().startswith(message)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_disk_that_is_full(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, os.strerror(28))

    out = tmp_path / "page.html"
    out.write_text(f"<!DOCTYPE html>{GENERATED}an older page")
    monkeypatch.setattr(Path, "replace", full)
    run = Run(capsys, "--model", "tiny-bert", "report", *SMALL, "--out", str(out))
    assert run.complaint() == f"output file {out} cannot be written: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert out.read_text().endswith("an older page")


def test_only_its_own_page_is_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A page says of itself that it is one, by which it is told from other files."""
    out = tmp_path / "thesis.html"
    out.write_text("<!DOCTYPE html>all of it")
    run = Run(capsys, "--model", "tiny-bert", "report", *SMALL, "--out", str(out))
    assert run.complaint() == (
        f"output file {out} must be new or an earlier output of report; choose another --out, or replace the file "
        "with --force"
    )
    assert out.read_text() == "<!DOCTYPE html>all of it"


def test_figures_in_words() -> None:
    assert [number(value) for value in (0, 12345, 36365.5, 1.5, 0.1087688, 31.25)] == [
        "0", "12,345", "36,366", "1.5", "0.1088", "31.25",
    ]  # fmt: skip
    assert [duration(value) for value in (2.5, 0.00352, 3e-4, 2e-9)] == [
        "2.500 s",
        "3.520 ms",
        "300.000 µs",
        "2.000 ns",
    ]
    assert [short(value) for value in (0.2, 50_000, 200_000, 5e6, 2e9)] == ["0.2", "50,000", "200k", "5M", "2G"]
    assert [rounded(value) for value in (0, 0.002, 2.5e-4)] == ["0", "2 ms", "250 µs"]
    assert [gain(value) for value in (0.1, -0.1, 0.0001)] == ["+10.0\u202f%", "\u221210.0\u202f%", "none"]
