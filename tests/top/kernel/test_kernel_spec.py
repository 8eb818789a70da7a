"""The ports, arguments and registers of kernels."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from hdl.errors import InputError
from hdl.top.kernel.description import describe_kernel
from hdl.top.kernel.kernel_spec import KernelSpec

from ..decoder.designs import FAR
from ..designs import ODD, TINY


def test_every_channel_has_a_master() -> None:
    spec = KernelSpec(FAR)
    names = [port.name for port in spec.ports]
    assert names == [
        "host", "parameters", "weights_qkv_0", "weights_qkv_1", "weights_projection_0", "weights_ffn1_0",
        "weights_ffn1_1", "weights_ffn2_0", "keys_0", "keys_1", "values_0", "values_1",
    ]  # fmt: skip
    assert [port.name for port in spec.ports if port.writes] == ["host", "keys_0", "keys_1", "values_0", "values_1"]


def test_pointers_are_64_bit_arguments() -> None:
    spec = KernelSpec(ODD)
    arguments = spec.registers.arguments
    assert [one.name for one in arguments if one.bus == "m_axi_host"] == ["request", "answer"]
    assert all(one.bits == 64 for one in arguments if one.bus)
    assert all(spec.registers[one.name].offset % 8 == 0 for one in arguments if one.bus)
    assert [one.name for one in arguments if not one.bus] == ["texts", "layers", "flags"]


def test_designs_have_different_hashes() -> None:
    hashes = {KernelSpec(one).design_hash for one in (TINY, ODD, FAR, replace(TINY, max_layers=3))}
    assert len(hashes) == 4


def test_the_report_is_the_registers_without_a_gap() -> None:
    spec = KernelSpec(ODD)
    places = list(describe_kernel(spec)["report"].values())
    assert places[0] == [0, 4]
    assert all(place + size == after for (place, size), (after, _) in pairwise(places))


def test_tokens_that_are_too_wide() -> None:
    with pytest.raises(InputError) as error:
        KernelSpec(SimpleNamespace(rows=8, lanes=8))  # type: ignore[arg-type]
    assert str(error.value).startswith("tokens of a kernel's beat must have at most 512 bits, not 1024")
