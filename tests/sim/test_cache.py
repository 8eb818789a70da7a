"""The build cache: whole or not there, healed where it is damaged, built once by many."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hdl.errors import InputError
from sim import cache
from sim.programs import BuildError, Programs


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache of a test."""
    monkeypatch.setenv("SPATIAL_LLM_CACHE", str(tmp_path))
    return tmp_path


class Builds:
    """A build that counts how often it ran."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> None:
        assert list(folder.iterdir()) == []
        self.count += 1
        (folder / "inner").mkdir()
        (folder / "inner" / "result").write_text("done\n")
        (folder / "other").write_text("a file of another length")


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in (folder / "kind").iterdir())


def test_the_folder_is_that_of_the_variables_or_in_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPATIAL_LLM_CACHE", "relative")
    assert cache.directory() == Path.cwd() / "relative"
    monkeypatch.delenv("SPATIAL_LLM_CACHE")
    assert cache.directory() == tmp_path / "xdg" / "spatial-llm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == tmp_path / "home" / ".cache" / "spatial-llm"


def test_a_user_without_a_home_directory_is_told_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPATIAL_LLM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InputError) as error:
        cache.directory()
    assert str(error.value) == (
        "the build cache must be in a folder, and this user has no home directory; set SPATIAL_LLM_CACHE to one"
    )


def test_what_was_built_once_is_not_built_again_and_sha256sum_checks_it(folder: Path) -> None:
    build = Builds()
    assert cache.find("kind", "name") is None
    for _ in range(2):
        assert cache.cached("kind", "name", build) == cache.find("kind", "name") == folder / "kind" / "name"
    assert build.count == 1
    assert entries(folder) == ["name"]
    subprocess.run(["sha256sum", "--check", "--quiet", cache.SUMS], cwd=folder / "kind" / "name", check=True)


def emptied(finished: Path) -> None:
    for path in finished.rglob("*"):
        if path.is_file():
            path.write_text("")


@pytest.mark.parametrize(
    "damage",
    [
        emptied,
        lambda finished: (finished / "inner" / "result").write_text("do"),
        lambda finished: (finished / "inner" / "result").write_text("bone\n"),
        lambda finished: (finished / "other").unlink(),
        lambda finished: (finished / "more").write_text(""),
        lambda finished: (finished / cache.SUMS).unlink(),
        lambda finished: (finished / cache.SUMS).write_bytes(b"\xff"),
    ],
)
def test_a_damaged_build_is_built_again(damage, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    build = Builds()
    finished = cache.cached("kind", "name", build)
    damage(finished)
    assert cache.find("kind", "name") is None
    assert cache.cached("kind", "name", build) == finished
    assert build.count == 2
    assert (finished / "inner" / "result").read_text() == "done\n"
    assert entries(folder) == ["name"]
    assert caplog.messages == [f"the cached build {finished} does not match its checksums: it is built again"]
    assert cache.cached("kind", "name", build) == finished
    assert build.count == 2


def test_of_two_that_want_the_same_one_builds_and_one_waits(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    build = Builds()

    def slowly(folder: Path) -> None:
        while not caplog.messages:
            time.sleep(0.01)
        build(folder)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: cache.cached("kind", "name", slowly), range(3)))
    assert found == [folder / "kind" / "name"] * 3
    assert build.count == 1
    assert entries(folder) == ["name"]
    assert set(caplog.messages) == {"another process builds kind/name: waiting for it"}


def test_a_wait_ends_with_the_build_that_it_is_for(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def other(building: Path) -> None:
        with pytest.raises(BuildError, match="^the build has ended$"), Programs() as programs:
            programs.check()
            programs.__exit__()
            cache.cached("kind", "name", Builds(), check=programs.check)

    cache.cached("kind", "name", other)
    assert caplog.messages == ["another process builds kind/name: waiting for it"]


@pytest.mark.parametrize("raised", [BuildError("no"), KeyboardInterrupt()])
def test_a_build_that_fails_or_is_interrupted_leaves_nothing(raised: BaseException, folder: Path) -> None:
    def failing(building: Path) -> None:
        (building / "half").write_text("")
        raise raised

    with pytest.raises(type(raised)):
        cache.cached("kind", "name", failing)
    assert entries(folder) == []


KILLED = """
import sys, time
from pathlib import Path
from sim.cache import cached

def build(folder):
    (folder / "half").write_text("")
    print("building", flush=True)
    time.sleep(60)

cached("kind", "killed", build)
"""


def test_what_a_killed_process_left_is_removed_and_what_another_one_builds_is_not(folder: Path) -> None:
    (folder / "kind" / "building-older").mkdir(parents=True)
    (folder / "kind" / "building-oldest.lock").write_text("")
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        cache.cached("kind", "name", Builds())
        assert entries(folder) == ["building-killed", "building-killed.lock", "name"]
        process.send_signal(signal.SIGKILL)
    cache.cached("kind", "next", Builds())
    assert entries(folder) == ["name", "next"]


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (BuildError("c++ failed: cannot write: No space left on device"), "No space left on device"),
        (OSError("no number"), "no number"),
    ],
)
def test_a_disk_that_is_full_is_one_line_with_the_folder_and_the_remedy(
    raised: Exception, reason: str, folder: Path
) -> None:
    def failing(building: Path) -> None:
        raise raised

    with pytest.raises(InputError) as error:
        cache.cached("kind", "name", failing)
    assert str(error.value) == (
        f"the build cache must be a folder that can be written and has room, and {folder}/kind is refused: {reason}; "
        "free some space, or set SPATIAL_LLM_CACHE to another folder"
    )
    assert entries(folder) == []


def test_a_file_in_place_of_the_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("SPATIAL_LLM_CACHE", str(folder / "file"))
    with pytest.raises(
        InputError, match=r"/file/kind is refused: Not a directory; free some space, or set SPATIAL_LLM_CA"
    ):
        cache.cached("kind", "name", Builds())
    assert list(folder.iterdir()) == [folder / "file"]
