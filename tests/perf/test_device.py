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
