"""What is loaded ahead: each run's layers once, as far as the text reached before it."""

from typing import Any

import numpy as np
import pytest

from hdl.kernels.kvmemory import KvMemorySpec

from ..harness import run_streams
from .kvbench import AheadBench
from .test_kvmemory import HOW, LATENCY, LAYERS, SCORES

SPEC = KvMemorySpec(unit=SCORES, layers=LAYERS, latency_cycles=LATENCY)


def orders(runs: list[tuple[int, int]], simulator: Any, gaps: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Layers and blocks of the orders, [series, layers], around runs of (restart, blocks): one series before the first,
    and one behind each."""
    restarts, blocks = zip(*runs, strict=True)
    inputs = {"runs": {"restart": list(restarts), "blocks": list(blocks)}, "kept": [0] * len(runs)}
    count = (len(runs) + 1) * LAYERS
    found = run_streams(AheadBench(SPEC), inputs, {"orders": count}, simulator=simulator, gaps=gaps).outputs["orders"]
    return found["layer"].reshape(-1, LAYERS), found["blocks"].reshape(-1, LAYERS)


@pytest.mark.parametrize(("simulator", "gaps"), HOW)
def test_each_run_s_layers_are_loaded_up_to_the_end_of_the_run_before(simulator: Any, gaps: int | None) -> None:
    layers, blocks = orders([(1, 2), (0, 2), (0, 3), (0, 5)], simulator, gaps)
    assert (layers == np.arange(LAYERS)).all()
    np.testing.assert_array_equal(blocks, np.repeat([[0], [2], [2], [3], [5]], LAYERS, axis=1))


@pytest.mark.parametrize(("simulator", "gaps"), HOW)
def test_what_a_new_text_has_no_use_for_is_not_ordered_any_more(simulator: Any, gaps: int | None) -> None:
    _, blocks = orders([(1, 4), (1, 1), (0, 2), (1, 5), (0, 5)], simulator, gaps)
    np.testing.assert_array_equal(blocks[[0, 2, 4, 5]], np.repeat([[0], [1], [5], [5]], LAYERS, axis=1))
    for series, before in ((1, 4), (3, 2)):
        # Up to some layer those of the old text, then none.
        ordered = blocks[series] == before
        assert (blocks[series][~ordered] == 0).all()
        assert (np.diff(ordered.astype(int)) <= 0).all()
    # The first order may be under way when a run begins; the last is not, of runs that come this close.
    assert blocks[1][-1] == 0
