"""Where finished builds are kept, so that what was built once is built once; safe with several processes at work.

A build is a folder with the checksums of its files in `SHA256SUMS` (`sha256sum --check` reads it). One that does not
match its checksums, after a crash or on a disk that was full, is built again. While a process builds, it holds the lock
of `building-NAME`, the folder it builds in: an `flock`, which the system releases however the process ends.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hdl.errors import InputError
from sim.programs import BuildError

__all__ = ["cached", "directory", "find", "key"]

SUMS = "SHA256SUMS"
"""The file of a finished build that is written last."""

BUILDING = "building-"
"""What the name of an unfinished build begins with; its lock is the file of that name and `LOCK`."""

LOCK = ".lock"

WAIT = 0.1  # seconds

FULL = os.strerror(errno.ENOSPC)
"""What a compiler says, too, where the disk is full."""

_log = logging.getLogger(__name__)


def directory() -> Path:
    """The cache: `$SPATIAL_LLM_CACHE`, or else `spatial-llm` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        InputError: for a user without a home directory, where no variable names a folder.
    """
    if chosen := os.environ.get("SPATIAL_LLM_CACHE"):
        return Path(chosen).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "spatial-llm"
    except RuntimeError:
        raise InputError(
            "the build cache must be in a folder, and this user has no home directory; set SPATIAL_LLM_CACHE to one"
        ) from None


def key(ingredients: Any) -> str:
    """The name of what is built from `ingredients` (anything JSON can express) alone."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def find(kind: str, name: str) -> Path | None:
    """The directory `kind/name` of the cache, if there is one and its files are as they were built."""
    folder = directory() / kind / name
    try:
        return folder if (folder / SUMS).read_text() == _checksums(folder) else None
    except (OSError, UnicodeDecodeError):
        return None


def cached(
    kind: str, name: str, build: Callable[[Path], object], *, check: Callable[[], object] = lambda: None
) -> Path:
    """The directory `kind/name` of the cache; if it is missing or damaged, `build` fills an empty directory that then
    becomes it.

    Nothing is ever half there: a build happens in a directory of its own and is moved when complete. Of two processes
    that want the same at once, one builds and the other one waits. What a killed process left unfinished is removed.

    Args:
        check: called again and again while it waits; raises what ends the wait.

    Raises:
        InputError: where the cache cannot be written.
    """
    if found := find(kind, name):
        return found
    parent = directory() / kind
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f"{BUILDING}{name}{LOCK}", partial(_wait, f"{kind}/{name}", check)):
            return find(kind, name) or _build(parent / name, parent / f"{BUILDING}{name}", build)
    except OSError as error:
        raise _refused(parent, error.strerror or str(error)) from error
    except BuildError as error:
        if FULL not in str(error):
            raise
        raise _refused(parent, FULL) from error


def _refused(folder: Path, reason: str) -> InputError:
    """A folder of the cache that cannot be written."""
    return InputError(
        f"the build cache must be a folder that can be written and has room, and {folder} is refused: {reason}; "
        "free some space, or set SPATIAL_LLM_CACHE to another folder"
    )


def _build(finished: Path, building: Path, build: Callable[[Path], object]) -> Path:
    """Builds in `building`, whose lock is held, and moves that to `finished`, in the place of what is damaged there."""
    if finished.exists():
        _log.warning("the cached build %s does not match its checksums: it is built again", finished)
    _prune(finished.parent)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        build(building)
        (building / SUMS).write_text(_checksums(building))
        shutil.rmtree(finished, ignore_errors=True)
        return building.rename(finished)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _prune(parent: Path) -> None:
    """Removes the unfinished builds that no process is at work on."""
    for name in {entry.name.removesuffix(LOCK) for entry in parent.glob(f"{BUILDING}*")}:
        # A lock or a folder of another user stays.
        with suppress(OSError), _locked(parent / f"{name}{LOCK}") as free:
            if free:
                shutil.rmtree(parent / name, ignore_errors=True)


def _checksums(folder: Path) -> str:
    """A line for each file of a build, in the format of `sha256sum`."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n")
    return "".join(lines)


@contextmanager
def _locked(path: Path, wait: Callable[[int], object] | None = None) -> Iterator[bool]:
    """Holds the lock `path`; the file exists only meanwhile.

    `wait`: called with the number of tries while another process holds it; without, the block gets False instead of the
    lock.
    """
    for tries in count():
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if wait is None:
                    yield False
                    return
                wait(tries)
                continue
            # Where the process that held the lock has removed the file, this is the lock of nothing: try again.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)
                return


def _wait(what: str, check: Callable[[], object], tries: int) -> None:
    """Waits a moment, in which an interrupt is noticed; says so at first."""
    if not tries:
        _log.warning("another process builds %s: waiting for it", what)
    check()
    time.sleep(WAIT)
