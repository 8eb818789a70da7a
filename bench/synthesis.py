"""What a design takes of the U280 by Yosys. ``python -m bench.synthesis [model] [max length]``;
bert-base where nothing is said."""

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from hdl.model.load import load_model
from hdl.perf.choice.built import plan
from hdl.perf.designs.budget import PLANNED
from hdl.perf.device import Device, load_device
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.resources import Resources
from hdl.top.emit import top_of
from hdl.top.emitter import Emitter, VerilogModule
from sim.synthesis import rolled_up, synthesise

COUNTED = {"dsp": "DSP", "bram36": "BRAM36", "uram": "URAM", "lut": "LUT", "ff": "FF"}


def resources_table(
    spec: PipelineSpec, top: str, device: Device, modules: Mapping[str, VerilogModule], found: Mapping[str, Resources]
) -> tuple[Table, bool]:
    """Every unit's resources, Yosys' and in brackets the spec's; and whether all is within the plan."""
    table = Table(title=f"{device.board}: Yosys (estimate)", title_justify="left")
    table.add_column("unit")
    for heading in COUNTED.values():
        table.add_column(heading, justify="right")
    units = {name: (found[named(modules, name, unit)], unit.resources) for name, unit in spec.units.items()}
    inside = sum((own for own, _ in units.values()), Resources())
    total = found[top]
    units["parameters and control"] = (total + -1 * inside, spec.parameter_resources)
    for name, pair in units.items():
        table.add_row(name, *cells(*pair))
    table.add_section()
    table.add_row("all", *cells(total, spec.resources))
    shares = {name: getattr(total, name) / getattr(device.resources, name) for name in COUNTED}
    table.add_row("of the device", *(f"{share:.1%}" for share in shares.values()))
    table.add_row("at most", *(f"{PLANNED[name]:.0%}" for name in COUNTED))
    return table, all(share <= PLANNED[name] for name, share in shares.items())


def named(modules: Mapping[str, VerilogModule], name: str, unit: object) -> str:
    """The module of a unit: the one with its spec, or of its name where the spec is the whole pipeline's."""
    return next(module.name for module in modules.values() if module.spec == unit or module.kind == name)


def cells(found: Resources, estimate: Resources) -> list[str]:
    """Found and estimated counts."""
    return [f"{a:,g} ({b:,g})" for a, b in zip(map(float, found), map(float, estimate), strict=True)]


def main() -> int:
    """Prints the table; 1 where more is taken than planned."""
    console = Console(highlight=False, width=140)
    name, *length = sys.argv[1:] or ["bert-base"]
    device = load_device("u280")
    spec = plan(load_model(name), device, max_length=int(length[0]) if length else None)
    emitter, (pipeline, top) = Emitter(), top_of(spec)
    emitter.emit(pipeline, top)
    count = len(emitter.modules)
    with console.status("") as status:
        own = synthesise(emitter.modules, progress=lambda done: status.update(f"{done} of {count} modules mapped"))
    table, inside_plan = resources_table(spec, top, device, emitter.modules, rolled_up(emitter.modules, own))
    console.print(table)
    return int(not inside_plan)


if __name__ == "__main__":
    sys.exit(main())
