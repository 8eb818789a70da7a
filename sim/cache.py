"""Where finished builds are kept, so that what was built once is built once; safe with several processes at work."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def directory() -> Path:
    """The cache: `$SPATIAL_LLM_CACHE`, or else `spatial-llm` in `$XDG_CACHE_HOME` or `~/.cache`."""
    chosen = os.environ.get("SPATIAL_LLM_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spatial-llm"


def key(ingredients: Any) -> str:
    """The name of what is built from `ingredients` (anything JSON can express) alone."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def cached(kind: str, name: str, build: Callable[[Path], object]) -> Path:
    """The directory `kind/name` of the cache; if it is missing, `build` fills an empty directory that then becomes it.

    Nothing is ever half there: a build happens in a directory of its own and is moved when complete. Of two processes
    that build the same at once, the second one to finish uses the first one's.
    """
    finished = directory() / kind / name
    if finished.is_dir():
        return finished
    finished.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=finished.parent))
    try:
        build(building)
        try:
            building.rename(finished)
        except OSError:
            if not finished.is_dir():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return finished
