"""Output files: a command replaces only its own earlier outputs, and each file appears when it is complete."""

import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import IO

from .errors import InputError

__all__ = ["output_file", "reason", "starts_with", "temporary_folder", "written"]

IsOwn = Callable[[Path], bool]
"""Whether a file is one that the command wrote."""


def output_file(
    path: Path, command: str, is_own: IsOwn, *, force: bool = False, reads: Collection[Path] = (), option: str = "--out"
) -> Path:
    """The file that ``command`` may write for ``path``: the path itself, or the target of a symbolic link.

    Args:
        is_own: whether a file is an earlier output of the command, which may be replaced.
        force: whether another file may be replaced too.
        reads: files that the command reads, which it never replaces.
        option: the option of the command line that names the file.

    Raises:
        InputError: for a folder, a device, a file that must not be replaced, and a folder that cannot be written.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise InputError(f"output {path} must be a file, not a folder; choose another {option}")
        if target.exists():
            if not target.is_file():
                raise InputError(f"output {path} must be a file, not a device or a pipe; choose another {option}")
            if any(one.exists() and one.samefile(target) for one in reads):
                raise InputError(f"output file {path} must not be one that {command} reads; choose another {option}")
            if not force and not is_own(target):
                raise InputError(
                    f"output file {path} must be new or an earlier output of {command}; choose another {option}, or "
                    "replace the file with --force"
                )
        check_place(path, target)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError up to Python 3.12
        raise InputError(f"output file {path} cannot be written: {reason(error)}") from None
    return target


def check_place(path: Path, target: Path) -> None:
    """Checks that a ``target``, which the user calls ``path``, is in a folder that can be made and written."""
    folder = next(one for one in target.parents if one.exists())
    if not folder.is_dir():
        raise InputError(f"output file {path} cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"output file {path} cannot be written: no permission to write in {folder}")


def starts_with(path: Path, *marks: bytes, within: int = 1024) -> bool:
    """Whether a file has all of the ``marks`` in its first bytes; false for one that cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(within)
    except OSError:
        return False
    return all(mark in start for mark in marks)


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``parent``, which is gone after the block, however that ends. An interrupt while it is made
    leaves nothing, either."""
    path = parent / f"{prefix}{secrets.token_hex(8)}"
    try:
        path.mkdir()
        yield path
    finally:
        rmtree(path, ignore_errors=True)


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at ``path`` when it is complete, in folders that are made for it.

    If the block fails, neither the file nor the new folders remain.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".writing-{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # if another file is in it
                folder.rmdir()
        raise


def reason(error: OSError | RuntimeError) -> str:
    """The system's text for an error, without numbers and paths."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
