"""A value in an error: as files write it, and never long."""

from typing import Any

import pytest

from hdl.errors import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1e-12, "1e-12"),
        ("a\nb\ud800", "'a\\nb\\ud800'"),
        ({"a": [1, "b"]}, "{'a': [1, 'b']}"),
        ("x" * 100, f"'{'x' * 37}...{'x' * 38}'"),
        ([0] * 9, "[0, 0, 0, 0, ...]"),
        ([[[[[]]]]], "[[[[...]]]]"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert shown(value) == text


def test_no_value_is_long() -> None:
    assert shown(10**5000) == "a number of 16,610 bits"
    assert len(shown([{"a" * 60: ["b" * 60] * 60}] * 60)) < 90
