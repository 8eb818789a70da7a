"""Emission of a design to a folder: Verilog, constraints, scripts of a flow and a manifest, all of it or nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from ..errors import InputError
from ..output import reason, temporary_folder
from ..perf.device import Device
from ..perf.geometry.decoder_spec import DecoderSpec
from ..perf.geometry.pipeline_spec import PipelineSpec
from ..perf.workload import Workload
from ..version import GENERATOR
from .console import Progress
from .decoder.decoder_pipeline import DecoderPipeline
from .emitter import Emitter
from .encoder_pipeline import Pipeline
from .flows.flow import Flow, check_flow
from .flows.vitis_files import for_synthesis, vitis_files, vitis_manifest
from .flows.vivado_files import vivado_files, vivado_manifest
from .kernel.kernel_spec import KernelSpec
from .kernel.pins import KernelPins
from .manifest import build_manifest, instances

__all__ = ["DECODER_TOP", "TOP", "checked_folder", "emit", "files_of", "top_of"]

TOP, DECODER_TOP = "pipeline", "decoder"
"""The names of the top modules."""

MANIFEST = "manifest.json"


def emit(
    spec: PipelineSpec,
    device: Device,
    out: Path,
    model_name: str,
    *,
    flow: Flow = Flow.VIVADO,
    workload: Workload | None = None,
    force: bool = False,
    progress: Progress = lambda doing: None,
) -> Path:
    """Writes the folder ``out``: rtl/*.v, manifest.json, and the scripts and constraints of the ``flow``; returns it.
    The manifest has the cycles of some lengths, and of the ``workload``, if one is given.

    It appears when it is complete. One that is there already is replaced, whole, if it is empty or an earlier
    emission; with ``force`` also where files of others have come into that. The same pipeline gives the same bytes.

    Raises:
        InputError: for a device that the flow does not take, a design that is no kernel for it, a folder with other
            contents, and one that cannot be written.
    """
    check_flow(device, flow)
    target = checked_folder(out, force=force)
    try:
        ancestor = next(path for path in target.parents if path.exists())
        with temporary_folder(ancestor, ".emitting-") as workshop:
            files = files_of(spec, device, model_name, flow=flow, workload=workload, progress=progress)
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
    flow: Flow = Flow.VIVADO,
    workload: Workload | None = None,
    progress: Progress = lambda doing: None,
) -> dict[str, str]:
    """The contents of an emission, by path."""
    emitter = Emitter()
    kernel = KernelSpec(spec) if flow is Flow.VITIS else None
    own: dict[str, Any] = {} if kernel is None else vitis_manifest(kernel, device)
    progress("composing the design and converting it to Verilog")
    if kernel is None:
        pipeline, top = top_of(spec)
        verilog = emitter.emit(pipeline, top)
        others, own = vivado_files(device, top), vivado_manifest(pipeline, top)
    else:
        top = kernel.name
        verilog = for_synthesis(emitter.emit(KernelPins(kernel), top))
        others = vitis_files(kernel, device, [f"rtl/{name}" for name in sorted(verilog)])
    files = {f"rtl/{name}": text for name, text in sorted(verilog.items())} | others
    manifest = build_manifest(spec, device, model_name, workload) | own | {"modules": instances(emitter.modules, top)}
    manifest["files"] = sorted([*files, MANIFEST])
    return files | {MANIFEST: json.dumps(manifest, indent=2) + "\n"}


def top_of(spec: PipelineSpec) -> tuple[wiring.Component, str]:
    """The hardware of a pipeline, an encoder's or a decoder's, and the name of its top module."""
    if isinstance(spec, DecoderSpec):
        return DecoderPipeline(spec), DECODER_TOP
    return Pipeline(spec), TOP


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
        return set(manifest["files"]) if manifest["generator"]["name"] == GENERATOR else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
