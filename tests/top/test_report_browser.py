"""The report's page in a browser: drawn in full, without errors, on a desk and on a phone, by day and by night."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hdl.top.cli import main

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of the browsers {', '.join(NAMES)} is installed")

PHONE, DESK = 375, 1200

# The page in a frame of the width that is asked for, since a window has a least width of its own.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe><pre id="measured"></pre><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(one => one.open = true);
  const box = one => {{ const r = one.getBoundingClientRect(); return [r.width, r.height]; }};
  const style = one => frames[0].getComputedStyle(one);
  document.getElementById("measured").textContent = JSON.stringify({{
    width: root.clientWidth, scrolled: root.scrollWidth,
    pictures: [...page.querySelectorAll("svg")].map(box),
    drawn: [...page.querySelectorAll("svg path[d]:not([d='']), svg circle")].map(one => {{
      const b = one.getBBox(); return [b.width + b.height, style(one).fill, style(one).stroke]; }}),
    words: [...page.querySelectorAll("svg.plot text")].map(one => box(one)[1]),
    crowded: [...page.querySelectorAll(".ticks")].filter(ticks => {{
      const shown = [...ticks.children].map(one => one.getBoundingClientRect()).filter(one => one.width);
      return shown.some((one, place) => place && one.left < shown[place - 1].right + 2); }}).length,
    wide: [...page.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth).map(
      one => style(one).backgroundImage.split("gradient(").length - 1),
    ground: style(page.body).backgroundColor, ink: style(page.body).color,
    sheet: style(page.querySelector("section")).backgroundColor,
    beside: [...page.querySelectorAll("svg.plot")].map(plot => [...plot.querySelectorAll("text")].filter(one => {{
      const inner = one.getBoundingClientRect(), outer = plot.getBoundingClientRect();
      return inner.left < outer.left - 1 || inner.right > outer.right + 1; }}).map(one => one.textContent)),
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pages of an encoder, a spatial and a streamed decoder."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for model in ("tiny-bert", "tiny-gpt2", "llama-2-7b"):
        out = folder / f"{model}.html"
        options = "--prompt 32 --tile 4 --points 300"
        assert main(["--model", model, "report", *options.split(), "--out", str(out)]) == 0
        found[model] = out.read_text()
    return found


def shown(folder: Path, page: str, width: int, *, dark: bool) -> tuple[dict[str, Any], list[str]]:
    """What a browser measures of a page, and what it has to say of it."""
    harness = folder / "harness.html"
    harness.write_text(HARNESS.format(width=width, page=html.escape(page)))
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={DESK + 50},1000",
        "--enable-logging=stderr", "--v=0", "--dump-dom", harness.as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    measured = re.search(r'<pre id="measured">(.+?)</pre>', run.stdout, re.DOTALL)
    assert measured, run.stderr
    said = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(measured[1])), said


def brightness(colour: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("model", ["tiny-bert", "tiny-gpt2", "llama-2-7b"])
def test_pages(pages: dict[str, str], tmp_path: Path, model: str, width: int, dark: bool) -> None:
    found, said = shown(tmp_path, pages[model], width, dark=dark)
    assert said == []
    # Nothing to scroll to at the side, whatever is unfolded.
    assert found["width"] <= width
    assert found["scrolled"] <= found["width"]
    assert len(found["pictures"]) == pages[model].count("<svg ")
    assert all(wide > 10 and high > 5 for wide, high in found["pictures"])
    assert all(size > 0 for size, _, _ in found["drawn"])
    # Every mark has a colour, other than that of what it lies on.
    assert all({fill, stroke} - {"none", found["sheet"]} for _, fill, stroke in found["drawn"])
    assert all(high >= 9 for high in found["words"])
    assert not any(found["beside"])
    assert not found["crowded"]
    # What is wider than its place has shadows at both sides, under covers that go with its ends.
    assert set(found["wide"]) <= {4}
    assert found["wide"] or width == DESK
    assert (brightness(found["ground"]) < 0.2) is dark
    assert abs(brightness(found["ink"]) - brightness(found["sheet"])) > 0.6


def test_the_browser_s_errors_are_seen(tmp_path: Path) -> None:
    broken = '<!DOCTYPE html><body><section style="width:2000px">wide</section><script>nothing()</script>'
    found, said = shown(tmp_path, broken, PHONE, dark=False)
    assert found["scrolled"] > found["width"]
    assert any("nothing is not defined" in line for line in said)
