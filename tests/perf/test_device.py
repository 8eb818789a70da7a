"""Devices: what is in their files, and that every figure has a source."""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest

from hdl.errors import InputError
from hdl.perf.device import Device, devices, load_device, parse_device


def test_u280() -> None:
    device = load_device("u280")
    assert (device.name, device.board, device.part) == ("u280", "Alveo U280", "xcu280-fsvh2892-2L-e")
    assert astuple(device.resources) == (9024, 2016, 960, 1_303_680, 2_607_360)
    assert len(device.slrs) == 3
    assert device.clock_mhz == 300
    assert (device.memory.name, device.memory.bandwidth_gb_s, device.memory.ports) == ("HBM2", 460, 32)


def figures(value: Any, place: str = "") -> Iterator[str]:
    """The places of all numbers in what was read from a file."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name != "sources":
                yield from figures(part, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from figures(part, f"{place}.{part['name']}" if isinstance(part, dict) and "name" in part else place)
    elif isinstance(value, int | float) and value:
        yield place


@pytest.mark.parametrize("name", devices())
def test_every_figure_has_a_source(name: str) -> None:
    device = load_device(name)
    for place in figures(device.model_dump(exclude_none=True)):
        parts = place.split(".")
        prefixes = {".".join(parts[: length + 1]) for length in range(len(parts))}
        assert prefixes & set(device.sources), f"{place} has no source"
    assert all(len(source) > 10 for source in device.sources.values())


PUBLISHED = {
    "kv260": (1_248, 144, 64, 117_120, 234_240),
    "u250": (12_288, 2_688, 1_280, 1_728_000, 3_456_000),
    "u280": (9_024, 2_016, 960, 1_303_680, 2_607_360),
    "u50": (5_952, 1_344, 640, 871_680, 1_743_360),
    "u55c": (9_024, 2_016, 960, 1_303_680, 2_607_360),
    "vck5000": (1_968, 967, 463, 899_840, 1_799_680),
    "vhk158": (7_392, 2_541, 1_301, 1_753_984, 3_507_968),
}
"""DSP, BRAM36, URAM, LUT and FF of whole devices, as their data sheets have them."""


@pytest.mark.parametrize("name", devices())
def test_regions_add_up_to_the_published_device(name: str) -> None:
    device = load_device(name)
    if device.slrs:
        assert astuple(device.resources) == PUBLISHED[name]
    else:
        assert name not in PUBLISHED
        assert device.onchip_mb


@pytest.mark.parametrize("name", devices())
def test_only_gpus_have_no_part(name: str) -> None:
    device = load_device(name)
    assert (device.part is None) == (device.kind == "gpu")


PORT_GBIT_S = 0.450
"""The fastest that a pipeline drives a bit of a port of an UltraScale+ device: an AXI port of the HBM at 450 MHz."""

PIN_GBIT_S = {"DDR4": 3.2, "HBM2": 2.43, "HBM2e": 3.2, "GDDR6": 14}
"""The fastest of the memories' data pins, which the ports of the others count."""


@pytest.mark.parametrize("name", devices())
def test_no_memory_is_faster_than_its_ports(name: str) -> None:
    device = load_device(name)
    for memory in device.memories:
        rate = PORT_GBIT_S if device.family == "ultrascale+" else PIN_GBIT_S[memory.name]
        assert memory.bandwidth_gb_s <= memory.ports * memory.port_bits * rate / 8, memory.name
        assert memory.slr < max(len(device.slrs), 1), memory.name


@pytest.mark.parametrize("name", devices())
def test_slrs_have_crossings_between_them(name: str) -> None:
    device = load_device(name)
    assert bool(device.crossings) == (len(device.slrs) > 1)


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        load_device("u820")
    assert str(error.value) == f"device 'u820' is unknown, did you mean 'u280'?; known: {', '.join(devices())}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock_mhz": 0}, "file x: clock_mhz: input should be greater than or equal to 1, not 0"),
        ({"clok_mhz": 300}, "file x: clok_mhz: extra inputs are not permitted, not 300"),
        ({"kind": "asic"}, "file x: kind: input should be 'fpga' or 'gpu', not 'asic'"),
        ({"power": {"tdp_w": -1}}, "file x: power.tdp_w: input should be greater than 0, not -1"),
    ],
)
def test_files_with_mistakes_are_refused(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = load_device("u280").model_dump() | change
    with pytest.raises(InputError) as error:
        parse_device("x", {k: v for k, v in values.items() if k != "name"}, "file x")
    assert str(error.value) == message


def test_devices_are_values() -> None:
    device = load_device("u280")
    assert Device.model_validate(device.model_dump()) == device
