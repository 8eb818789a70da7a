"""The devices: FPGAs that pipelines are made for, and what they are compared with; one YAML file each.

Every figure of a file has its source in the file; `tests/perf/test_device.py` holds that.
"""

from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..builtin import built_in, read_built_in
from ..errors import InputError
from ..resources import Resources

__all__ = ["Device", "Link", "Memory", "PortTiming", "Power", "Region", "devices", "load_device", "parse_device"]

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


SUSTAINED = 0.9
"""Share of a memory's peak that long bursts in order get, where its refreshes are not known."""


class _Figures(BaseModel):
    """Figures as a YAML file has them: no others, of the types that are written here, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Figures):
    """What an SLR (or the whole of a device without) has."""

    dsp: Count
    bram36: Count
    uram: Count
    lut: Count
    ff: Count

    @property
    def resources(self) -> Resources:
        """The same as `Resources`."""
        return Resources(dsp=self.dsp, bram36=self.bram36, uram=self.uram, lut=self.lut, ff=self.ff)


class PortTiming(_Figures):
    """When a port of a memory answers, beyond its bandwidth, in nanoseconds.

    ``latency_ns``: from a request to its first data, the row being open. ``activation_ns``: what a request to another
    row takes longer. ``refresh_ns``: how long the memory refreshes itself, once in ``refresh_interval_ns``.
    """

    latency_ns: Positive
    activation_ns: Positive
    refresh_ns: Positive
    refresh_interval_ns: Positive


class Memory(_Figures):
    """A level of off-chip memory: ``capacity_gb`` of 10**9 bytes, ``bandwidth_gb_s`` in 10**9 bytes a second over
    all ``ports`` of ``port_bits``, in region ``slr``; its ``timing``, where a source has it."""

    name: str
    capacity_gb: Positive
    bandwidth_gb_s: Positive
    ports: Annotated[int, Field(ge=1)]
    port_bits: Annotated[int, Field(ge=1)]
    slr: Count = 0
    timing: PortTiming | None = None

    @property
    def sustained(self) -> float:
        """Share of the peak that long bursts in order get: what refreshes leave, or where no timing is known an
        assumption."""
        if self.timing is None:
            return SUSTAINED
        return 1 - self.timing.refresh_ns / self.timing.refresh_interval_ns

    def sustained_bytes(self, gb_s: Any, clock_mhz: Any) -> Any:
        """Bytes in a cycle of that clock that long bursts in order get, of ports that give so many GB/s at the peak.
        Numbers, or arrays of them."""
        return gb_s * (self.sustained * 1e3 / clock_mhz)

    def bytes_a_cycle(self, clock_mhz: float) -> float:
        """Bytes that it gives in a cycle of that clock, at the peak."""
        return self.bandwidth_gb_s * 1e3 / clock_mhz

    def rate(self, ports: Any) -> Any:
        """GB/s over so many of its ports, each of which has its share; a number, or an array of them."""
        return self.bandwidth_gb_s * np.minimum(1.0, ports / self.ports)


class Link(_Figures):
    """What joins devices to each other: ``bandwidth_gb_s`` one way over all links of this name, and the latency of a
    message."""

    name: str
    bandwidth_gb_s: Positive
    latency_us: Positive


class Power(_Figures):
    """``tdp_w``: the maximum power of the board. ``typical_w``: the power that a source reports under a load of this
    kind, where there is such a source."""

    tdp_w: Positive
    typical_w: Positive | None = None

    @property
    def watts(self) -> float:
        """The power that estimates count with: what is reported under load, or else the maximum."""
        return self.typical_w or self.tdp_w

    @property
    def source(self) -> str:
        """What `watts` is, in words."""
        return "reported under load" if self.typical_w else "the board's maximum"


class Device(_Figures):
    """A device on its board.

    ``kind``: an ``fpga`` or a ``gpu``. ``family``: what its DSPs are; pipelines are made for ``ultrascale+``.
    ``part``: its name for the vendor's tools. ``slrs``: the lowest first. ``crossings``: signals between neighbouring
    SLRs. ``clock_mhz``: the clock that is planned for. ``tops``: the peak by number format, in 10**12 operations
    a second, two a multiplication. ``memories``: the nearest first; ``onchip_mb``: on-chip memory of what has no
    regions. ``sources``: where figures come from, by the name of the field, a dot, and the name of the member.
    """

    name: str
    kind: Literal["fpga", "gpu"]
    board: str
    family: str
    part: str | None = None
    clock_mhz: Annotated[int | float, Field(ge=1)]
    slrs: tuple[Region, ...] = ()
    crossings: Count = 0
    tops: dict[str, Positive]
    memories: tuple[Memory, ...]
    onchip_mb: Positive | None = None
    links: tuple[Link, ...] = ()
    power: Power
    sources: dict[str, str]

    @property
    def resources(self) -> Resources:
        """What the whole device has."""
        return sum((region.resources for region in self.slrs), Resources())

    @property
    def memory(self) -> Memory:
        """The nearest level of off-chip memory, where weights lie."""
        return self.memories[0]

    def with_share(self, share: float) -> "Device":
        """The device with this share of the resources of every SLR, rounded down, and with all of its memory.

        Raises:
            InputError: for a share that is not above 0, or above 1.
        """
        if not 0 < share <= 1:
            raise InputError(f"share of the device must be above 0 and at most 1, not {share:g}")
        slrs = tuple(Region(**{name: int(share * count) for name, count in region}) for region in self.slrs)
        return self.model_copy(update={"slrs": slrs})

    def sustained(self, gb_s: float) -> float:
        """Bytes a cycle of the clock that is planned for, of ports of its memory that give so many GB/s at the peak."""
        return float(self.memory.sustained_bytes(gb_s, self.clock_mhz))


def devices() -> tuple[str, ...]:
    """The names of the built-in devices."""
    return built_in(__package__, "devices")


@cache
def load_device(name: str) -> Device:
    """The device of that name.

    Raises:
        InputError: for an unknown one, with those that are known.
    """
    return parse_device(name, read_built_in(__package__, "devices", name, "device"), f"device {name!r}")


def parse_device(name: str, values: Any, source: str) -> Device:
    """A device of the contents of a YAML file.

    Raises:
        InputError: for the first figure that is missing, misnamed or out of range.
    """
    try:
        return Device.model_validate({"name": name, **values})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{source}: {place}: {first['msg'].lower()}, not {first['input']!r}") from None
