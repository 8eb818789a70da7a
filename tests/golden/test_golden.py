"""Emissions and counted cycles are those of the golden file.

Emissions of the designs that other tests emit, too; ``python -m tests.golden`` compares all.
"""

import pytest

from hdl.top.emit import top_of

from ..top.sources import emitted
from .designs import NAMES, PLANNED, TEST_DESIGNS, checks, counted, digest, golden, spec_of

EMITTED = [f"test {name}" for name in ("encoder ODD", "decoder MIXED", "decoder ODD", "decoder FAR")]
"""Designs that other tests simulate."""


def test_the_file_holds_all_designs() -> None:
    found = golden()
    assert tuple(found) == NAMES
    assert all(set(values) == set(checks()) for values in found.values())


@pytest.mark.parametrize("name", [*TEST_DESIGNS, *(name for name in PLANNED if name != "gpt2")])
def test_counted_cycles_are_golden(name: str) -> None:
    assert counted(spec_of(name)) == golden()[name]["counted"]


@pytest.mark.parametrize("name", EMITTED)
def test_emissions_are_golden(name: str) -> None:
    top, module = top_of(spec := spec_of(name))
    assert digest(emitted(type(top), spec, module)) == golden()[name]["emission"]["verilog"]
