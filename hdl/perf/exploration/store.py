"""The folder of an exploration: its finished batches, so that a run that was ended goes on where it stopped."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ...errors import InputError
from ...output import written
from .evaluate import Evaluated
from .points import CONSTRAINTS, FIGURES
from .space import Space

__all__ = ["BatchStore", "content_hash", "kept"]

HEADER, BATCHES = "exploration.json", "batches"


def content_hash(space: Space) -> str:
    """What a space is: its network, device and lengths, and of every kind the axes and every figure of its tables.
    Spaces of one hash give the same points."""
    found = hashlib.sha256()
    kinds = [(kind.name, kind.axes, kind.values) for kind in space.kinds]
    plain = asdict(space.network), space.device.model_dump(mode="json"), space.prompt, space.output, kinds
    found.update(json.dumps([plain, FIGURES, CONSTRAINTS], sort_keys=True).encode())

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, dict):
            for one in value.values():
                add(one)
        elif isinstance(value, list):
            for one in value:
                add(one)
        elif is_dataclass(value):
            for field in fields(value):
                add(getattr(value, field.name))
        else:
            found.update(repr(value).encode())

    add([kind.tables for kind in space.kinds])
    return found.hexdigest()[:16]


def kept(folder: Path | None) -> str:
    """What an exploration that was ended has left in its folder, in words."""
    if folder is not None and next(folder.glob(f"{BATCHES}/*.npz"), None):
        return f"finished batches are kept in {folder}, run again to continue"
    return "no batch was finished"


class BatchStore:
    """Finished batches in a folder, or in memory where there is none.

    ``force``: those of another exploration are forgotten.

    Raises:
        InputError: for a folder of something else, or that cannot be written.
    """

    def __init__(self, folder: Path | None, header: dict[str, Any], *, force: bool = False):
        self.folder, self.header, self.force = folder, header, force
        self.batches: dict[int, Evaluated] = {}
        if folder is not None:
            self.write(self._open)

    def write(self, action: Callable[[], Any]) -> None:
        """Runs what writes to the folder.

        Raises:
            InputError: where it cannot be written.
        """
        try:
            action()
        except OSError as error:
            raise InputError(
                f"output folder {self.folder} cannot be written: {error.strerror or error}; {kept(self.folder)}; "
                "make room or choose another --out"
            ) from error

    def _open(self) -> None:
        assert self.folder is not None
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"output {self.folder} must be a folder, not a file; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / HEADER
        if path.exists():
            try:
                found = json.loads(path.read_text())
            except ValueError:
                found = None
            if found != self.header and self.force:
                shutil.rmtree(self.folder / BATCHES, ignore_errors=True)
                self._begin()
            elif found != self.header:
                other = found if isinstance(found, dict) else {}
                wrong = next((key for key in self.header if other.get(key) != self.header[key]), "contents")
                raise InputError(
                    f"output folder {self.folder} must be of the same exploration, not of {wrong} "
                    f"{other.get(wrong)!r} instead of {self.header.get(wrong)!r}; choose another --out, or start over "
                    "with --force"
                )
        elif any(not path.name.startswith(".") for path in self.folder.iterdir()):
            raise InputError(
                f"output folder {self.folder} must be empty or an earlier exploration, not hold other files; "
                "choose another --out"
            )
        else:
            self._begin()
        for number in range(self.header["batches"]):
            if (batch := self._load(number)) is not None:
                self.batches[number] = batch

    def _begin(self) -> None:
        assert self.folder is not None
        with written(self.folder / HEADER) as file:
            file.write(json.dumps(self.header, indent=2).encode() + b"\n")

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / BATCHES / f"{number:06}.npz"

    def _load(self, number: int) -> Evaluated | None:
        """A finished batch; None where it is not there, or not whole."""
        try:
            with self._path(number).open("rb") as file, np.load(file) as arrays:
                return Evaluated(**{field.name: arrays[field.name] for field in fields(Evaluated)})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def add(self, number: int, batch: Evaluated) -> None:
        """Keeps a finished batch."""
        self.batches[number] = batch
        if self.folder is not None:
            self.write(lambda: self._save(number, batch))

    def _save(self, number: int, batch: Evaluated) -> None:
        with written(self._path(number)) as file:
            np.savez(file, **vars(batch))
