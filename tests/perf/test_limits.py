"""The least cycles of work."""

import pytest

from hdl.model.load import load_network
from hdl.perf.device import load_device
from hdl.perf.limits import Limits, run_limits

U280 = load_device("u280")


def test_limits_are_of_products_and_of_bytes() -> None:
    limit = Limits.of(macs=8000, dsps=10, data=3000, bytes_a_cycle=10)
    assert limit == (400, 300)
    assert (limit.longest, limit.bound) == (400, "compute")
    assert Limits.of(8000, 10, 5000, 10).bound == "memory"


def test_a_token_counts_the_tokens_before_it() -> None:
    network = load_network("gpt2")
    behind, none = (run_limits(network, U280, 5000, tokens=1, context=context, read=1e6) for context in (500, 0))
    assert behind.compute - none.compute == pytest.approx(12 * 2 * 500 * 768 / 10_000)
    assert behind.memory == none.memory == pytest.approx(1e6 / (460e3 / 300))


def test_what_a_memory_sustains_follows_from_its_refreshes() -> None:
    assert U280.memory.sustained == pytest.approx(1 - 260 / 3900)
    assert U280.memory.model_copy(update={"timing": None}).sustained == 0.9
