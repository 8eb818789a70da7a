"""The wheel: all modules and data of the packages, and the console script."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent

PACKAGES = ("hdl", "sim", "constraints", "host")

IGNORED = ("__pycache__", "*.pyc", ".*")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """A wheel that is built of a copy of the tree, by what is installed."""
    pytest.importorskip("setuptools", minversion="77", reason="the lock's setuptools is not installed")
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns(*IGNORED))
    script = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=tree, check=True, capture_output=True)
    (file,) = (tree / "dist").glob("*.whl")
    return ZipFile(file)


def test_it_has_every_file_of_the_packages(wheel: ZipFile) -> None:
    """Data too: YAML, templates, C++, the small model's weights, constraints."""
    own = {
        path.relative_to(ROOT).as_posix().removeprefix("host/")
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == own


def test_it_brings_the_command(wheel: ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert wheel.read(name).decode().split() == ["[console_scripts]", "spatial-llm", "=", "sim.spatial_llm:main"]
