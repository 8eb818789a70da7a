"""The README's example runs, as a reader would paste it."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(capsys) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    figures, values = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ cycles a tile, \d+ DSPs, \d+ lines of Verilog", figures)
    numbers = [int(number) for number in values.strip("[]").split()]
    assert numbers == sorted(numbers)
    assert numbers[0] < 0
