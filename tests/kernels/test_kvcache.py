"""The KV cache's figures."""

from dataclasses import replace

import pytest

from hdl.kernels.kvcache import KvCacheSpec

GPT2 = KvCacheSpec(features=2 * 768, layers=12, max_length=1024, banks=48, on_chip=True)


def test_size_is_that_of_the_paper() -> None:
    assert GPT2.size == 12 * 2 * 1024 * 768  # S_KV = 2 l_max d, a byte each, for every layer


def test_urams_hold_it_all() -> None:
    bytes_a_uram = 4096 * 8
    assert GPT2.resources.uram == 48 * 12
    assert GPT2.resources.uram * bytes_a_uram == GPT2.size
    assert replace(GPT2, on_chip=False).resources.uram == 0


def test_cycles_and_bytes_grow_with_the_context() -> None:
    assert GPT2.cycles(0) == 0
    assert GPT2.cycles(100) == 100 * 1536 / (8 * 48)
    assert GPT2.bytes_read(100) == 0
    assert replace(GPT2, on_chip=False).bytes_read(100) == 100 * 1536 * 12


@pytest.mark.parametrize("name", ["features", "layers", "max_length", "banks"])
def test_impossible_sizes_are_refused(name: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(GPT2, **{name: 0})
    assert str(error.value) == f"KV cache {name} must be at least 1, not 0"
