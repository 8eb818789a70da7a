"""Bounds of numbers: what is in them, and what is said of the others."""

import pytest

from hdl.bounds import CLOCK, SEED, Bounds
from hdl.errors import InputError

PAGES = Bounds(name="pages", least=1, most=2_000, unit="sheets", why="the binding holds no more")


@pytest.mark.parametrize(("bounds", "value"), [(PAGES, 1), (PAGES, 2000), (PAGES, 3.5), (CLOCK, 300.0), (SEED, 0)])
def test_what_is_in_bounds(bounds: Bounds, value: float) -> None:
    bounds.check(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (2001, "2001"),
        (-0.5, "-0.5"),
        (1e9, "1e+09"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_what_is_not(value: float, shown: str) -> None:
    with pytest.raises(InputError) as error:
        PAGES.check(value)
    assert str(error.value) == f"pages must be 1 to 2,000 sheets (the binding holds no more), not {shown}"


def test_a_number_of_thousands_of_digits() -> None:
    with pytest.raises(InputError, match=r", not a number of 16,610 bits$"):
        PAGES.check(10**5000)


def test_bounds_without_a_unit() -> None:
    with pytest.raises(InputError) as error:
        SEED.check(-1)
    assert str(error.value) == "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not -1"
