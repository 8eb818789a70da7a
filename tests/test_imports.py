"""Imports go one way: ground <- kernels <- model <- perf <- card <- top <- sim; the driver
(spatial_llm) imports no top; nothing imports tests or benchmarks; no modules import each other."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each may import itself and what stands before it. A module belongs to the longest of the names it begins with.
ORDER = ["hdl", "hdl.kernels", "hdl.model", "hdl.perf", "hdl.card", "spatial_llm", "hdl.top", "sim", "tests", "bench"]


def layer(module: str) -> int | None:
    """The place of a module in ORDER; None for modules from elsewhere."""
    parts = module.split(".")
    for length in (2, 1):
        name = ".".join(parts[:length])
        if name in ORDER:
            return ORDER.index(name)
    return None


def imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything that a module's source imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = module.split(".")
            start = start[: len(start) - node.level + is_package] if node.level else []
            for alias in node.names:
                # `from hdl import model` imports a package, so what is imported counts as part of the name.
                yield node.lineno, ".".join([*start, *([node.module] if node.module else []), alias.name])


def modules(root: Path) -> Iterator[tuple[Path, str, list[tuple[int, str]]]]:
    """Every module under `root`: its file there, its name, and what it imports, as `imported` gives it."""
    for top, folder in ((root, "hdl"), (root / "host", "spatial_llm"), (root, "sim")):
        for file in sorted((top / folder).rglob("*.py")):
            path = file.relative_to(top)
            is_package = path.stem == "__init__"
            module = ".".join(path.parent.parts if is_package else path.with_suffix("").parts)
            yield path, module, list(imported(ast.parse(file.read_text()), module, is_package=is_package))


def violations(root: Path) -> list[str]:
    """Every import under `root` that goes the wrong way."""
    found = []
    for file, module, imports in modules(root):
        own = layer(module)
        for line, name in imports:
            other = layer(name)
            if own is not None and other is not None and other > own:
                found.append(f"{file}:{line}: {ORDER[own]} must not import {name}")
    return found


def circle(root: Path) -> list[str]:
    """Modules under `root` each of which imports the next, the last being the first; none if there is no circle.

    Imports for the type checker alone and imports inside functions count.
    """
    graph: dict[str, set[str]] = {module: set() for _, module, _ in modules(root)}
    for _, module, imports in modules(root):
        for _, name in imports:
            # A name that is imported from a module, or the module itself.
            target = name if name in graph else name.rpartition(".")[0]
            if target in graph and target != module:
                graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_modules_import_each_other():
    assert circle(ROOT) == []


@pytest.mark.parametrize("place", ["", "if TYPE_CHECKING:\n    ", "def f():\n    "])
def test_a_circle_is_found(tmp_path, place):
    (tmp_path / "hdl").mkdir()
    for module, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / "hdl" / f"{module}.py").write_text(f"{place if module == 'a' else ''}from .{other} import name\n")
    found = circle(tmp_path)
    assert found[0] == found[-1]
    assert {*pairwise(found)} == {("hdl.a", "hdl.b"), ("hdl.b", "hdl.c"), ("hdl.c", "hdl.a")}


def test_imports_go_one_way():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "wrong"),
    [
        ("hdl/fixed.py", "from hdl.kernels import softmax", "1: hdl must not import hdl.kernels.softmax"),
        ("hdl/fixed.py", "from . import kernels", "1: hdl must not import hdl.kernels"),
        ("hdl/kernels/a.py", "import numpy\nfrom hdl import model", "2: hdl.kernels must not import hdl.model"),
        ("hdl/kernels/a.py", "def f():\n    from ..model import b", "2: hdl.kernels must not import hdl.model.b"),
        ("hdl/kernels/__init__.py", "from ..model.b import c", "1: hdl.kernels must not import hdl.model.b.c"),
        ("hdl/model/deep/a.py", "from ...perf import b", "1: hdl.model must not import hdl.perf.b"),
        ("hdl/card/a.py", "import hdl.top.block", "1: hdl.card must not import hdl.top.block"),
        ("hdl/perf/a.py", "import hdl.top.block", "1: hdl.perf must not import hdl.top.block"),
        ("hdl/top/a.py", "import sim.beats", "1: hdl.top must not import sim.beats"),
        ("sim/a.py", "import tests.harness", "1: sim must not import tests.harness"),
        ("sim/a.py", "from bench import speed", "1: sim must not import bench.speed"),
        ("hdl/kernels/a.py", "from hdl.fixed import saturate\nfrom . import b\nfrom ..stream import tile", None),
        ("sim/a.py", "import hdl.top\nfrom . import beats\nimport simple, hdlx", None),
    ],
)
def test_the_wrong_way_is_found(tmp_path, file, source, wrong):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    assert violations(tmp_path) == ([] if wrong is None else [f"{file}:{wrong}"])
