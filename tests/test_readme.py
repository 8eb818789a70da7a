"""The README's examples run, as a reader would paste them."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def run_example(capsys, chapter: str) -> list[str]:
    """Runs the Python of a chapter; returns the lines it prints."""
    text = README.read_text().split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    return capsys.readouterr().out.splitlines()


def test_a_kernel_in_a_design_of_ones_own(capsys) -> None:
    figures, values = run_example(capsys, "One kernel in a design of your own")
    assert re.fullmatch(r"\d+ cycles per tile, \d+ DSPs, \d+ lines of Verilog", figures)
    numbers = [int(number) for number in values.strip("[]").split()]
    assert numbers == sorted(numbers)
    assert numbers[0] < 0


def test_the_model_as_a_library(capsys) -> None:
    token, *constraints, designs, curve = run_example(capsys, "The model as a library")
    assert re.fullmatch(r"\w+, \d+\.\d\d ms a token, 0\.\d\d of the memory limit", token)
    assert [line.split(":")[0] for line in constraints][:2] == ["compute", "block RAM"]
    assert all(int(re.search(r"(\d+)%", line)[1]) <= 100 for line in constraints)
    assert int(designs.split()[0]) > 1
    rates = [float(rate) for rate in re.findall(r"(\d+) tokens/s", curve)]
    assert rates == sorted(rates)
    assert len(rates) > 1
