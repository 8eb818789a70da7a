"""The command `emit`: Verilog for a device."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ...errors import InputError
from ..console import shown_progress
from .options import hardware_options
from .paths import NamedPath

__all__ = ["emit_command"]


@click.command("emit")
@hardware_options
@click.option("--out", type=NamedPath(), help="The folder.  [default: build/MODEL-DEVICE]", metavar="DIR")
@click.option("--point", type=NamedPath(), help="A point of an exploration, with its own geometry.", metavar="FILE")
@click.option(
    "--flow",
    type=click.Choice(["vitis", "vivado"]),
    help="vitis: a kernel with AXI ports, for v++. vivado: the bare pipeline, implemented out of context.  [default: "
    "vitis for devices with a Vitis platform, or else vivado]",
)
@click.option("--force", is_flag=True, help="Replace an earlier emission's folder with all that has come into it.")
def emit_command(
    model: str | None, device: str, out: Path | None, point: Path | None, flow: str | None, force: bool, **options: Any
) -> None:
    """Write the Verilog, constraints, scripts for the vendor's tools and a manifest."""
    from ...perf.device import load_device
    from ..emit import checked_folder, emit
    from ..flows.flow import Flow, check_flow, default_flow
    from ..planned import chosen_model, planned
    from ..point_file import pointed

    with shown_progress() as progress:
        progress("choosing the geometry")
        if point is None:
            board = load_device(device)
            check_flow(board, Flow(flow) if flow else default_flow(board))
            name = chosen_model(model).name
            checked_folder(out or Path("build", f"{name}-{board.name}"), force=force)
            made = planned(model, device, **options)
        else:
            check_alone()
            made = pointed(point, model)
        folder = out or Path("build", f"{made.model}-{made.device.name}")
        chosen = Flow(flow) if flow else default_flow(made.device)
        emit(
            made.spec, made.device, folder, made.model, flow=chosen, workload=made.workload, force=force,
            progress=progress,
        )  # fmt: skip
    size = sum(file.stat().st_size for file in folder.glob("rtl/*.v"))
    modules = sum(1 for _ in folder.glob("rtl/*.v"))
    click.echo(
        f"{folder}: {modules} modules in {size:,} bytes of Verilog, {made.spec.macs:,} MAC/cycle, flow {chosen}; "
        f"see {'README.md' if chosen is Flow.VITIS else 'manifest.json'} there"
    )


def check_alone() -> None:
    """Refuses the options that a point has values of its own for."""
    context = click.get_current_context()
    for name in ("device", "max_length", "prompt", "output", "tile", "clock_mhz", "weight_bits", "int8", "share"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = name.removesuffix("_mhz").replace("_", "-")
            raise InputError(f"--{option} must be left out with --point, which has its own")
