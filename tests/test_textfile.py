"""Text and JSON of a user: what is wrong with it is one line."""

from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.textfile import parse_json, read_text


def refused(path: Path, contents: bytes) -> str:
    path.write_bytes(contents)
    with pytest.raises(InputError) as error:
        read_text(path, "text")
    return str(error.value).replace(str(path), "FILE")


def test_text_in_utf_8_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + "Grüße €".encode())
        assert read_text(path, "text") == "Grüße €"


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert refused(path, b"one\nGr\xfc\xdfe") == (
        "text FILE must be text in UTF-8, but has byte 0xfc in line 2; convert it"
    )
    assert refused(path, "\ufeffA".encode("utf-16-le")) == (
        "text FILE must be text in UTF-8, but has byte 0xff in line 1; convert it"
    )
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    assert refused(path, pointer) == "text FILE is a Git LFS pointer; run: git lfs pull"
    assert refused(path, b"\n<!DOCTYPE html>\n") == "text FILE is an HTML page; download the file itself"
    with pytest.raises(InputError) as error:
        read_text(tmp_path, "text")
    assert str(error.value) == f"text {tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "c.json must be valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[" * 100_000, "c.json must be valid JSON, but is nested too deeply"),
        ("9" * 5_000, "c.json must be valid JSON: Exceeds the limit (4300 digits) for integer string conversion"),
        ("[NaN]", "c.json must be valid JSON with finite numbers, not NaN"),
        ("[-Infinity]", "c.json must be valid JSON with finite numbers, not -Infinity"),
        ("[1e999]", "c.json must be valid JSON with finite numbers, not 1e999"),
        ('{"a": [{"b": 1, "b": 2}]}', "c.json must have the key 'b' once, not twice"),
    ],
)
def test_json_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_json(text, "c.json")
    assert str(error.value).startswith(message)


def test_json() -> None:
    assert parse_json('{"a": [1, null, {"a": "\\ud83d\\ude00"}]}', "c.json") == {"a": [1, None, {"a": "😀"}]}
