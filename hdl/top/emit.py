"""Emission of a pipeline to a folder: Verilog, constraints, a synthesis script and a manifest, all of it or nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from amaranth.lib import wiring

from ..errors import InputError
from ..output import reason
from ..perf.device import Device
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.workload import Workload
from ..version import GENERATOR
from .console import Progress
from .decoder.decoder_pipeline import DecoderPipeline
from .emitter import PRIMITIVE_DEFINE, Emitter
from .encoder_pipeline import Pipeline
from .manifest import build_manifest
from .platforms import check_board

__all__ = ["DECODER_TOP", "TOP", "checked_folder", "emit", "files_of", "fill", "top_of"]

TOP, DECODER_TOP = "pipeline", "decoder"
"""The names of the top modules."""

MANIFEST = "manifest.json"

SOURCES = Path(__file__).parents[2] / "constraints"
"""The templates of constraints and scripts: beside the packages, in a checkout as in an installation."""


class Source(Template):
    """A template whose places are ``@{name}``, which mean nothing in Tcl."""

    delimiter = "@"


def emit(
    spec: PipelineSpec,
    device: Device,
    out: Path,
    model_name: str,
    *,
    workload: Workload | None = None,
    force: bool = False,
    progress: Progress = lambda doing: None,
) -> Path:
    """Writes the folder ``out``: rtl/*.v, constraints/*.xdc, synth.tcl and manifest.json; returns it. The manifest has
    the cycles of some lengths, and of the ``workload``, if one is given.

    It appears when it is complete. One that is there already is replaced, whole, if it is empty or an earlier
    emission; with ``force`` also where files of others have come into that. The same pipeline gives the same bytes.

    Raises:
        InputError: for a device without constraints, a folder with other contents, and one that cannot be written.
    """
    check_board(device)
    target = checked_folder(out, force=force)
    try:
        ancestor = next(path for path in target.parents if path.exists())
        with TemporaryDirectory(prefix=".emitting-", dir=ancestor, ignore_cleanup_errors=True) as workshop:
            files = files_of(spec, device, model_name, workload=workload, progress=progress)
            progress("writing")
            write_files(Path(workshop, "new"), files)
            put_in_place(Path(workshop, "new"), target, Path(workshop, "old"))
    except OSError as error:
        raise InputError(f"output folder {out} cannot be written: {error.strerror or error}") from error
    return out


def files_of(
    spec: PipelineSpec,
    device: Device,
    model_name: str,
    *,
    workload: Workload | None = None,
    progress: Progress = lambda doing: None,
) -> dict[str, str]:
    """The contents of an emission, by path."""
    progress("composing the pipeline and converting it to Verilog")
    emitter = Emitter()
    pipeline, top = top_of(spec)
    verilog = emitter.emit(pipeline, top)
    manifest = build_manifest(pipeline, device, model_name, emitter.modules, top, workload)
    timing, board = f"{device.name}.xdc", f"{device.name}_board.xdc"
    return {
        **{f"rtl/{name}": text for name, text in sorted(verilog.items())},
        f"constraints/{timing}": fill(timing, period_ns=f"{1000 / device.clock_mhz:.3f}"),
        f"constraints/{board}": fill(board),
        "synth.tcl": fill("synth.tcl", part=str(device.part), top=top, define=PRIMITIVE_DEFINE, constraints=timing),
        MANIFEST: json.dumps(manifest, indent=2) + "\n",
    }


def top_of(spec: PipelineSpec) -> tuple[wiring.Component, str]:
    """The hardware of a pipeline, an encoder's or a decoder's, and the name of its top module."""
    if isinstance(spec, DecoderSpec):
        return DecoderPipeline(spec), DECODER_TOP
    return Pipeline(spec), TOP


def fill(name: str, **values: str) -> str:
    """One of the `SOURCES` with its places filled.

    Raises:
        KeyError: for a place without a value.
    """
    return Source((SOURCES / name).read_text()).substitute(values)


def checked_folder(out: Path, *, force: bool = False) -> Path:
    """The folder that an emission to ``out`` replaces.

    Raises:
        InputError: where it must stay as it is.
    """
    try:
        check_replaceable(target := out.resolve(), force=force)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError up to Python 3.12
        raise InputError(f"output folder {out} cannot be written: {reason(error)}") from None
    return target


def check_replaceable(target: Path, *, force: bool = False) -> None:
    """Raises InputError for a path that holds anything but an earlier emission; with ``force``, files beside those of
    the emission may be lost."""
    if not target.exists():
        return
    if Path.cwd().is_relative_to(target):
        raise InputError(f"output folder {target} must not be the current folder or hold it; choose another --out")
    if not target.is_dir():
        raise InputError(f"output {target} must be a folder, not a file; choose another --out")
    if not any(target.iterdir()):
        return
    own = emitted_files(target)
    if own is None:
        raise InputError(
            f"output folder {target} must be empty or an earlier emission, not hold other files; choose another --out"
        )
    others = sorted(str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir())
    if not force and (first := next((name for name in others if name not in own), None)):
        raise InputError(
            f"output folder {target} holds {first}, which emit did not write; choose another --out, or replace the "
            "whole folder with --force"
        )


def emitted_files(folder: Path) -> set[str] | None:
    """The files that an emission in a folder is of, by its manifest; None where it holds none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["generator"]["name"] != GENERATOR:
            return None
        modules, device = manifest["modules"].values(), manifest["device"]["name"]
        named = {module["file"] for module in modules}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return named | {f"constraints/{device}.xdc", f"constraints/{device}_board.xdc", "synth.tcl", MANIFEST}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files by their paths in a new folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def put_in_place(new: Path, target: Path, old: Path) -> None:
    """Moves ``new`` to ``target``, and what was there to ``old``; back again if that fails or is interrupted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
