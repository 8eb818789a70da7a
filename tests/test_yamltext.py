"""YAML of a user: plain values, and what is wrong with it is one line."""

from math import inf
from typing import Any

import pytest

from hdl.errors import InputError
from hdl.yamltext import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-12", 1e-12),
        ("-1E5", -1e5),
        ("1.5e-3", 1.5e-3),
        ("1.0e-12", 1e-12),
        (".5", 0.5),
        ("12", 12),
        ("1e", "1e"),
        ("e1", "e1"),
        ("1e999", inf),
        ("2024-02-30", "2024-02-30"),
        ("null", None),
        ("true", True),
        ("{a: [1, {b: c}]}", {"a": [1, {"b": "c"}]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse_yaml(text, "m.yaml")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "expected the node content, but found '<stream end>' (line 1, column 5)"),
        ("a: 1\nb: 2\na: 3", "a key stands in a mapping twice (line 1, column 1)"),
        ("a: &x [*x]", "an alias (*name) cannot be used here (line 1, column 8)"),
        ("[" * 50_000, "it is nested too deeply"),
        ("a: " + "9" * 5_000, "Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits"),
        ("!!timestamp 2024-02-30", "day is out of range for month"),
        ("!!timestamp soon", "a value does not suit its tag"),
        ("!!bool maybe", "a value does not suit its tag"),
        ("!!int ''", "a value does not suit its tag"),
        ("!!python/none x",
         "could not determine a constructor for the tag 'tag:yaml.org,2002:python/none' (line 1, column 1)"),
        ("? [1]\n: 2", "found unhashable key (line 1, column 3)"),
        ("a: 1\n---\nb: 2", "found another document (line 2, column 1)"),
        ("\0", "unacceptable character #x0000: special characters are not allowed"),
    ],
)  # fmt: skip
def test_texts_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError) as error:
        parse_yaml(text, "m.yaml")
    assert str(error.value) == f"m.yaml must be valid YAML: {reason}"
