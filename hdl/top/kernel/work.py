"""The members of what carries out the requests of a kernel: `DecoderWork` and `EncoderWork`."""

from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...channel import CHANNEL_BITS, Request, Written
from ...stream import connect
from .kernel_spec import KernelPort, KernelSpec

__all__ = ["connect_host", "pipeline_stream", "work_members"]


def work_members(spec: KernelSpec) -> dict[str, Any]:
    """The members of what carries out the requests of a kernel.

    ``start``: strobe; ``arguments``, the numbers of the request, are steady from then until ``ended``, a strobe with
    the `Code`. ``made``: records that have been written. For each port ``NAME_requests`` and ``NAME_data``, and if it
    writes ``NAME_writes``, ``NAME_written`` and ``NAME_acknowledged``: streams as those of `ReadMaster` and
    `WriteMaster`; address 0 is the first beat of the buffer, that of an image the first after its header.
    """
    numbers = {name: Out(32) for name in spec.registers.numbers}
    members: dict[str, Any] = {
        "start": In(1),
        "arguments": In(wiring.Signature(numbers)),
        "ended": Out(1),
        "code": Out(8),
        "made": Out(32),
    }
    requests = Out(stream.Signature(Request))
    for port in spec.ports:
        members |= {
            f"{port.name}_requests": requests,
            f"{port.name}_data": In(stream.Signature(unsigned(CHANNEL_BITS))),
        }
        if port.writes:
            members |= {
                f"{port.name}_writes": requests,
                f"{port.name}_written": Out(stream.Signature(Written)),
                f"{port.name}_acknowledged": In(stream.Signature(unsigned(1))),
            }
    return members


def pipeline_stream(pipeline: wiring.Component, port: KernelPort, role: str) -> Any:
    """The stream of a pipeline at a port: ``parameters`` is one, the others are members of arrays. ``role``: what
    follows the name in the pipeline's, as ``_requests``."""
    if port.name == "parameters":
        return getattr(pipeline, f"{port.name}{role}")
    name, _, index = port.name.rpartition("_")
    return getattr(pipeline, f"{name}{role}")[int(index)]


def connect_host(m: Module, work: Any, request: Any, writer: Any) -> None:
    """Connects the reader of the request (a `Fetch`) and the writer of the answer with the host's port."""
    connect(m, request.requests, work.host_requests)
    connect(m, work.host_data, request.response)
    connect(m, writer.writes, work.host_writes)
    connect(m, writer.written, work.host_written)
    connect(m, work.host_acknowledged, writer.acknowledged)
