"""Runs a component whose ports are all streams, on given payloads, in Amaranth's simulator or as Verilog in Verilator.

    result = run_streams(Requantise(spec), {"sums": sums, "factors": factors}, {"output": beats}, gaps=7)
    assert (result.outputs["output"] == spec.reference(sums, factors)).all()
    assert result.latency("sums", "output") == spec.latency

Both simulators agree to the cycle, with and without gaps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from amaranth.lib import wiring

from hdl.top.emitter import Emitter
from sim import beats
from sim.amaranth_simulation import simulate
from sim.memory import MemoryChannel
from sim.streams import MemoryUse, check_ports, stream_ports
from sim.verilator import build


@dataclass
class StreamResult:
    """What a component gave out.

    `outputs`: for every output asked for, what its payload's shape decodes to (see `sim.beats.decode`): an array
    [n, rows, lanes] for tiles, a dictionary of arrays for structs, a list of Python integers for plain shapes.
    `accepted`: for every port that took part, the cycle of each of its handshakes; cycle 0 is the run's first.
    `cycles`: how many cycles the run took. `memory`: what every memory channel did in them.
    """

    outputs: dict[str, Any]
    accepted: dict[str, np.ndarray]
    cycles: int
    memory: dict[str, MemoryUse]

    def latency(self, source: str, sink: str, *, beat: int = 0) -> int:
        """Cycles from the handshake of input `source`'s beat number `beat` to output `sink`'s first handshake."""
        return int(self.accepted[sink][0] - self.accepted[source][beat])


def run_streams(
    component: wiring.Component,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, int],
    *,
    memories: Sequence[MemoryChannel] = (),
    gaps: int | None = None,
    simulator: Literal["amaranth", "verilator"] = "amaranth",
    reset_at: int | None = None,
    timeout: int = 1000,
    waves: Path | None = None,
) -> StreamResult:
    """Feed `inputs` and collect as many beats as `outputs` says; the run ends when all of both are done.

    Args:
        component: has no members but streams (or arrays of them: ports `outputs__0`, `outputs__1`).
        inputs: payloads by port, one a beat, in any form that `sim.beats.encode` takes. Ports left out stay invalid.
        outputs: how many beats to take by port. A port is not ready before its first nor after its last beat wanted.
        memories: what answers the ports that are named for them (see `sim.memory`); written in place.
        gaps: seed of the random pauses on all ports (see `sim.streams.Gaps`); None: inputs are always valid and outputs
            always ready. Outputs are at times ready only after they were valid.
        reset_at: the cycle in which the reset is active. What came out before is dropped, the inputs start again from
            the first beat, and the count of cycles from 0: the result must be that of a run without it.
        timeout: cycles without a handshake on any port after which the run is given up.
        waves: a VCD file to write.

    Raises:
        Deadlock: nothing moved for `timeout` cycles.
        ProtocolError: an output did not hold its beat until it was accepted.
    """
    ports = stream_ports(component)
    plain = [port for port, _ in ports.values()]
    check_ports(plain, inputs, outputs)
    encoded = {name: beats.encode(ports[name][1], values) for name, values in inputs.items()}
    if simulator == "amaranth":
        result = simulate(
            component,
            plain,
            encoded,
            outputs,
            memories=memories,
            gaps=gaps,
            reset_at=reset_at,
            max_idle=timeout,
            waves=waves,
        )
    else:
        design = build(emit_verilog(component), "top", plain, trace=waves is not None, optimise="-O0")
        result = design.run(
            encoded, outputs, memories=memories, gaps=gaps, reset_at=reset_at, max_idle=timeout, waves=waves
        )
    decoded = {}
    for name, raw in result.outputs.items():
        values = beats.decode(ports[name][1], raw)
        decoded[name] = values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else values
    return StreamResult(decoded, result.accepted, result.cycles, result.memory)


def ways(specs: Mapping[str, Any]) -> list[Any]:
    """Parameters ``spec``, ``simulator``, ``gaps`` for units that take long: as Verilog all of them, without and with
    pauses, which is one build each; with pauses in Amaranth's simulator the first alone, which is the smallest."""
    first = next(iter(specs))
    return [
        pytest.param(spec, simulator, gaps, id=f"{name}-{simulator}-{gaps}")
        for name, spec in specs.items()
        for simulator, gaps in [("verilator", None), ("verilator", 5), *[("amaranth", 3)] * (name == first)]
    ]


_texts: dict[tuple[type[wiring.Component], Any], dict[str, str]] = {}
"""What was emitted, by type and spec, which a component that has a spec follows from."""


def emit_verilog(component: wiring.Component) -> dict[str, str]:
    """The component's Verilog: file name -> text; its top module is named `top`."""
    spec = getattr(component, "spec", None)
    if spec is None:
        return Emitter().emit(component, "top")
    if (name := (type(component), spec)) not in _texts:
        _texts[name] = Emitter().emit(component, "top")
    return _texts[name]
