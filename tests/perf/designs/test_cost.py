"""What designs are judged by: the cycles of a workload."""

import pytest

from hdl.model.load import load_network
from hdl.perf import Workload, load_device
from hdl.perf.choice.one_pace import smallest
from hdl.perf.designs.cost import cycles_of, generation_cycles, work_cycles
from hdl.perf.designs.phase import Phase
from hdl.perf.designs.spatial_design import SpatialDesign

U280 = load_device("u280")


def test_tokens_that_all_take_the_same_are_looked_at_twice() -> None:
    asked: list[int] = []

    def token(context: int) -> float:
        asked.append(context)
        return 100.0

    assert generation_cycles(token, 5, 20, 40) == (100.0, 0.0)
    assert asked == [5, 40]


@pytest.mark.parametrize("corner", [0, 10, 25, 39, 50])
def test_tokens_lie_between_those_that_are_looked_at(corner: int) -> None:
    def token(context: int) -> float:
        return 100.0 + 3 * max(0, context - corner)

    average, error = generation_cycles(token, 10, 20, 40)
    exact = sum(token(context) for context in range(10, 41)) / 31
    assert abs(average - exact) <= error + 1e-9
    assert (error == 0) == (corner >= 40)


def test_a_workload_is_its_prompts_and_its_tokens() -> None:
    network = load_network("tiny-gpt2")
    design = SpatialDesign(network, smallest(network, 64, 4))
    prompt = cycles_of(design.prefill(40), design, U280)
    tokens = [cycles_of(design.decode(context), design, U280) for context in (40, 59)]
    assert work_cycles(design, U280, Workload(prompt=40, output=0)) == prompt
    assert work_cycles(design, U280, Workload(prompt=40, output=20)) == prompt + 20 * sum(tokens) / 2


def test_loads_ahead_wait_for_banks_while_the_head_works() -> None:
    phase = Phase(cycles=100, bytes=6400.0, macs=0, stages={}, beside=640.0, head_bytes=1280.0)
    # The head takes 40 cycles and all loads 20: with no bank they begin after it, with banks for half, 10 run ahead.
    assert phase.cycles_at(32.0, 32.0) == (6400 - 640) / 32
    for ahead, waits in ((0.5, 30), (1.0, 20)):
        slow = Phase(cycles=10, bytes=640.0, macs=0, stages={}, beside=640.0, head_bytes=1280.0, ahead=ahead)
        assert slow.cycles_at(32.0, 32.0) == 20 + waits
