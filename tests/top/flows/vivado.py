"""A stand-in for Vivado: a real Tcl interpreter in which each command that the scripts use checks its options and takes
note.

Commands and options are those of AMD UG835 and UG1702; those of the packager (`ipx::`) are what public scripts use.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tkinter import Tcl
from typing import Any

COMMANDS: Mapping[str, tuple[str, int]] = {
    "add_files": ("norecurse fileset=", 1),
    "close_project": ("delete", 0),
    "create_clock": ("name= period=", 1),
    "create_project": ("force part=", 2),
    "get_clocks": ("quiet", 1),
    "get_files": ("quiet", 1),
    "get_filesets": ("quiet", 1),
    "get_ports": ("quiet", 1),
    "get_property": ("", 2),
    "get_sites": ("quiet filter=", 0),
    "get_timing_paths": ("max_paths= setup hold", 0),
    "ipx::add_address_block": ("quiet", 2),
    "ipx::add_bus_parameter": ("quiet", 2),
    "ipx::add_memory_map": ("quiet", 2),
    "ipx::add_register": ("quiet", 2),
    "ipx::add_register_parameter": ("quiet", 2),
    "ipx::associate_bus_interfaces": ("busif= clock= reset=", 1),
    "ipx::check_integrity": ("quiet kernel xrt", 1),
    "ipx::create_xgui_files": ("", 1),
    "ipx::current_core": ("", 0),
    "ipx::get_address_blocks": ("of_objects=", 1),
    "ipx::get_bus_interfaces": ("of_objects=", 1),
    "ipx::get_bus_parameters": ("of_objects=", 1),
    "ipx::get_memory_maps": ("of_objects=", 1),
    "ipx::infer_bus_interface": ("", 3),
    "ipx::package_project": ("root_dir= vendor= library= taxonomy= import_files set_current=", 0),
    "ipx::save_core": ("", 1),
    "ipx::update_checksums": ("", 1),
    "opt_design": ("directive=", 0),
    "package_xo": ("force xo_path= kernel_name= ip_directory= ctrl_protocol= kernel_xml=", 0),
    "phys_opt_design": ("directive=", 0),
    "place_design": ("directive=", 0),
    "puts": ("", 1),
    "read_verilog": ("", 1),
    "read_xdc": ("mode=", 1),
    "report_clock_utilization": ("file=", 0),
    "report_design_analysis": ("congestion complexity file=", 0),
    "report_drc": ("file=", 0),
    "report_high_fanout_nets": ("timing load_types slr clock_regions max_nets= file=", 0),
    "report_methodology": ("file=", 0),
    "report_ram_utilization": ("file=", 0),
    "report_route_status": ("file=", 0),
    "report_timing_summary": ("max_paths= file=", 0),
    "report_utilization": ("hierarchical slr file=", 0),
    "route_design": ("directive=", 0),
    "set_clock_uncertainty": ("setup", 2),
    "set_part": ("", 1),
    "set_property": ("", 3),
    "synth_design": ("top= part= mode= verilog_define=", 0),
    "update_compile_order": ("fileset=", 0),
    "write_checkpoint": ("force", 1),
}
"""The options of each command (those with a value end in ``=``), and the number of its arguments."""

DIRECTIVES = {"Explore", "AggressiveExplore"}

SITES = [f"BUFGCE_X0Y{number}" for number in range(8)]


@dataclass
class Call:
    """A call of a command: its options with their values (True for a flag), and its arguments."""

    name: str
    options: dict[str, str | bool]
    arguments: list[str]


@dataclass
class Vivado:
    """What scripts did. ``ports``: those of the top module; ``interfaces``: those that the packager finds in them."""

    ports: Collection[str]
    interfaces: Collection[str] = ()
    calls: list[Call] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    """The kind of each object that a script made."""
    properties: dict[tuple[str, str], str] = field(default_factory=dict)
    """The value of each property that a script set, by the object and the name."""
    tcl: Any = None
    """The interpreter."""

    def run(self, script: Path, *arguments: str) -> None:
        """Runs a script.

        Raises:
            TclError: for what Tcl refuses, and for a command, an option or an object that does not exist.
        """
        self.tcl = tcl = Tcl()

        def answer(name: str, *words: str) -> tuple[int, str]:
            """Whether a call is an error, and what it returns."""
            try:
                return 0, self.call(name, list(words))
            except (ValueError, KeyError) as error:
                return 1, str(error)

        tcl.createcommand("answer", answer)
        tcl.eval("namespace eval ::ipx {}")
        for name in COMMANDS:
            tcl.eval(f"proc ::{name} args {{ return -code {{*}}[answer {name} {{*}}$args] }}")
        tcl.call("set", "argv", arguments)
        tcl.call("source", str(script))

    def call(self, name: str, words: list[str]) -> str:
        """Checks and notes a call; returns what it returns."""
        known, count = COMMANDS[name]
        options, arguments = parsed(name, known.split(), words)
        if len(arguments) != count:
            raise ValueError(f"{name} has {count} arguments, not {arguments}")
        self.calls.append(Call(name, options, arguments))
        directive = options.get("directive", "Explore")
        if directive not in DIRECTIVES:
            raise ValueError(f"{name} has no directive {directive}")
        own: Any = getattr(self, name.replace("ipx::", "ipx_"), None)
        return own(options, *arguments) if own else ""

    def get_ports(self, options: dict[str, Any], name: str) -> str:
        """A port of the top module."""
        if name not in self.ports:
            raise ValueError(f"there is no port {name}")
        return name

    def get_clocks(self, options: dict[str, Any], name: str) -> str:
        """A clock that was made."""
        if not any(call.name == "create_clock" and call.options["name"] == name for call in self.calls):
            raise ValueError(f"there is no clock {name}")
        return name

    def get_files(self, options: dict[str, Any], name: str) -> str:
        """A file that was added."""
        added = (file for call in self.of("add_files") for file in self.tcl.splitlist(call.arguments[0]))
        if name not in {Path(file).name for file in added}:
            raise ValueError(f"there is no file {name}")
        return name

    def get_filesets(self, options: dict[str, Any], name: str) -> str:
        """A file set of each project."""
        if name not in ("sources_1", "constrs_1"):
            raise ValueError(f"there is no file set {name}")
        return name

    def add_files(self, options: dict[str, Any], files: str) -> str:
        """Adds files, which must exist."""
        return self.read_verilog(options, files)

    def read_verilog(self, options: dict[str, Any], files: str) -> str:
        """Reads files, which must exist."""
        for file in self.tcl.splitlist(files):
            if not Path(file).is_file():
                raise ValueError(f"there is no file {file}")
        return ""

    def read_xdc(self, options: dict[str, Any], file: str) -> str:
        """Reads constraints, which must exist."""
        return self.read_verilog(options, file)

    def get_sites(self, options: dict[str, Any]) -> str:
        """The sites of clock buffers."""
        if options.get("filter") != "SITE_TYPE == BUFGCE":
            raise ValueError(f"there are no sites with {options.get('filter')}")
        return " ".join(SITES)

    def get_timing_paths(self, options: dict[str, Any]) -> str:
        """The worst path."""
        return "setup_path" if options.get("setup") else "hold_path"

    def get_property(self, options: dict[str, Any], name: str, of: str) -> str:
        """A property that there is."""
        known = {("SLACK", "setup_path"): "0.125", ("SLACK", "hold_path"): "0.010"}
        return known[name, of] if (name, of) in known else {site: site for site in SITES if name == "NAME"}[of]

    def set_property(self, options: dict[str, Any], name: str, value: str, of: str) -> str:
        """Notes a property of an object, which must exist."""
        if not of:
            raise ValueError(f"there is no object for property {name}")
        self.properties[of, name] = value
        return ""

    def ipx_current_core(self, options: dict[str, Any]) -> str:
        """The IP."""
        return "core"

    def ipx_get_bus_interfaces(self, options: dict[str, Any], name: str) -> str:
        """An interface that was found, or added."""
        return f"interface/{name}" if name in self.interfaces or f"interface/{name}" in self.made else ""

    def ipx_infer_bus_interface(self, options: dict[str, Any], port: str, kind: str, core: str) -> str:
        """Adds an interface of a port."""
        return self.make(f"interface/{self.get_ports({}, port)}", kind)

    def ipx_get_bus_parameters(self, options: dict[str, Any], name: str) -> str:
        """A parameter that was added."""
        return self.there(f"{options['of_objects']}/{name}")

    def ipx_get_memory_maps(self, options: dict[str, Any], name: str) -> str:
        """A memory map that was added."""
        return self.there(f"map/{name}")

    def ipx_get_address_blocks(self, options: dict[str, Any], name: str) -> str:
        """An address block that was added."""
        return self.there(f"{options['of_objects']}/{name}")

    def ipx_add_memory_map(self, options: dict[str, Any], name: str, core: str) -> str:
        """Adds a memory map."""
        return self.make(f"map/{name}", "memory map")

    def ipx_add_address_block(self, options: dict[str, Any], name: str, of: str) -> str:
        """Adds an address block."""
        return self.add(name, of, "address block")

    def ipx_add_register(self, options: dict[str, Any], name: str, of: str) -> str:
        """Adds a register."""
        return self.add(name, of, "register")

    def ipx_add_register_parameter(self, options: dict[str, Any], name: str, of: str) -> str:
        """Adds a parameter of a register."""
        return self.add(name, of, "register parameter")

    def ipx_add_bus_parameter(self, options: dict[str, Any], name: str, of: str) -> str:
        """Adds a parameter of an interface."""
        return self.add(name, of, "bus parameter")

    def ipx_associate_bus_interfaces(self, options: dict[str, Any], core: str) -> str:
        """Takes only interfaces that there are."""
        for name in ("busif", "clock", "reset"):
            if name in options and not self.ipx_get_bus_interfaces({}, str(options[name])):
                raise ValueError(f"there is no interface {options[name]}")
        return ""

    def there(self, name: str) -> str:
        """An object, or nothing."""
        return name if name in self.made else ""

    def add(self, name: str, of: str, kind: str) -> str:
        """Adds an object to another, which must exist."""
        if of not in self.made and of.removeprefix("interface/") not in self.interfaces:
            raise ValueError(f"there is no object {of}")
        return self.make(f"{of}/{name}", kind)

    def make(self, name: str, kind: str) -> str:
        """A new object."""
        if name in self.made:
            raise ValueError(f"{name} exists already")
        self.made[name] = kind
        return name

    def of(self, name: str) -> list[Call]:
        """The calls of a command."""
        return [call for call in self.calls if call.name == name]


def parsed(name: str, known: list[str], words: list[str]) -> tuple[dict[str, str | bool], list[str]]:
    """Options and arguments of a call."""
    options: dict[str, str | bool] = {}
    arguments = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-") or word[1:2].isdigit():
            arguments.append(word)
        elif f"{word[1:]}=" in known:
            options[word[1:]] = left.pop(0)
        elif word[1:] in known:
            options[word[1:]] = True
        else:
            raise ValueError(f"{name} has no option {word}")
    return options, arguments
