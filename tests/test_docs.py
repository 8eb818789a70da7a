"""The documents name files that exist, their links lead somewhere, and ARCHITECTURE.md is short."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "ARCHITECTURE.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}

FOLDERS = ("hdl", "sim", "tests", "bench", "constraints", "docs")

PLACEHOLDER = "NAME"
"""Stands in a path for a name that the reader chooses."""

MOST_WORDS = 1500
"""Of ARCHITECTURE.md, as ``wc -w`` counts them: with tables and diagrams."""


def code(text: str) -> list[str]:
    """All that stands in backticks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def paths(text: str) -> list[str]:
    """The paths in backticks that begin with a folder of the project."""
    found = [one for one in code(text) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", one)]
    return [one for one in found if one.split("/")[0] in FOLDERS and PLACEHOLDER not in one]


def names(text: str) -> list[str]:
    """The dotted names in backticks of modules of the project, and of what they contain."""
    folders = "|".join(FOLDERS)
    found = [name for one in code(text) for name in re.findall(rf"(?<![\w.])((?:{folders})(?:\.\w+)+)", one)]
    return [one for one in found if PLACEHOLDER not in one]


def names_something(name: str) -> bool:
    """Whether a module has that name, or a module before the last dot has the last part in its text."""
    *parents, last = name.split(".")
    module, parent = ROOT.joinpath(*parents, last), ROOT.joinpath(*parents)
    if module.is_dir() or module.with_suffix(".py").is_file():
        return True
    file = parent / "__init__.py" if parent.is_dir() else parent.with_suffix(".py")
    return file.is_file() and re.search(rf"\b{last}\b", file.read_text()) is not None


@cache
def words() -> set[str]:
    """All words of the project's Python and C++."""
    sources = (path for folder in ("hdl", "sim") for path in (ROOT / folder).rglob("*.*"))
    texts = (path.read_text() for path in sources if path.suffix in {".py", ".cpp", ".h"})
    return {word for text in texts for word in re.findall(r"\w+", text)}


def classes(text: str) -> list[str]:
    """The names of classes in backticks, and of their members."""
    found = [one for one in code(text) if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)*", one)]
    return [part for one in found for part in one.split(".")]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document: str, text: str) -> list[str]:
    """The links of a document that lead nowhere; addresses on the network are not tried."""
    found = []
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / document).parent / name if name else ROOT / document
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            found.append(target)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_modules_and_classes_that_it_names_exist(document: str) -> None:
    text = DOCUMENTS[document]
    assert [path for path in paths(text) if not (ROOT / path).exists()] == []
    assert [name for name in names(text) if not names_something(name)] == []
    assert [name for name in classes(text) if name not in words() and PLACEHOLDER.title() not in name] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    assert broken(document, DOCUMENTS[document]) == []


def test_what_is_wrong_is_found() -> None:
    text = "`hdl/fixed.py` `hdl/gone.py` `hdl/NAME.py` `1_Pooling/config.json` `python -m bench.gone` `hdl.perf.choose`"
    assert paths(text) == ["hdl/fixed.py", "hdl/gone.py"]
    assert names(text) == ["bench.gone", "hdl.perf.choose"]
    assert [names_something(name) for name in names(text)] == [False, True]
    assert classes("`ArraySpec.feature` `LinearSpc` `array`") == ["ArraySpec", "feature", "LinearSpc"]
    assert {"ArraySpec", "LinearSpc"} & words() == {"ArraySpec"}
    links = "[a](README.md#use) [b](README.md#gone) [c](gone.md) [d](https://example.org) [e](docs/decisions/README.md)"
    assert broken("ARCHITECTURE.md", links) == ["README.md#gone", "gone.md"]


def test_every_page_is_listed() -> None:
    listed = re.findall(r"\]\(docs/([\w./-]+)\)", DOCUMENTS["ARCHITECTURE.md"])
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages | {"decisions/README.md"} <= set(listed)
    decisions = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")} - {"README.md"}
    assert decisions == set(
        re.findall(r"^\| \[([\w-]+\.md)\]", DOCUMENTS["docs/decisions/README.md"], flags=re.MULTILINE)
    )


def test_architecture_is_short() -> None:
    assert len(DOCUMENTS["ARCHITECTURE.md"].split()) <= MOST_WORDS
