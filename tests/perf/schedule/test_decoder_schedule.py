"""A decoder's cycles: those of the simulated Verilog, prompts and tokens, with memory at once and with a device's."""

from dataclasses import replace

import pytest

from hdl.model.architecture import Graph, Linear
from hdl.perf.device import load_device
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles

from ...top.decoder.designs import FAR, MIXED, MOVED, ODD, TINY
from ...top.decoder.simulations import started, words

U280 = MemoryTiming.of(load_device("u280").memory, 300)

BETTER = 3
"""Logits late in the vocabulary that are better than all before, which take a cycle more each: up to their values."""

EVENLY = 8
"""Rows of the embedding are taken to come evenly among the parameters of their port."""

REFRESH = 0.02
"""What a token that waits for its weights may be off, for refreshes that a run begins in the middle of."""

LONGEST = 44
"""Tokens of the longest prompt that is simulated."""

RUNS = ((1, True), (5, True), (1, False), (3, False), (1, False), (1, False))
"""Tokens, and whether they begin a text."""


@pytest.mark.parametrize("timing", [IDEAL, U280], ids=["ideal", "u280"])
@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [(MIXED, 0), (ODD, 0), (MOVED, REFRESH), (FAR, 0)],
    ids=["mixed", "odd", "moved", "far"],
)
def test_cycles_are_what_is_simulated(spec: DecoderSpec, tolerance: float, timing: MemoryTiming) -> None:
    with started(spec, timing) as simulation:
        for k, (count, restart) in enumerate([*RUNS, (min(spec.positions, LONGEST), True)], start=1):
            run = simulation.run(words(spec, count, k), restart=restart, k=k)
            found = counted_decoder_cycles(spec, count, run.position - count, timing, k)
            # A port's first refresh may come before a prompt's rows or behind them, and its parameters' too.
            most = BETTER + EVENLY + 2 * timing.refresh + tolerance * found
            assert abs(run.cycles - found) <= most, (count, run.position)


def test_names_of_linear_operators_are_free() -> None:
    def renamed(name: str) -> str:
        return f"product_{name}" if name in TINY.products else name

    layer = TINY.layer
    operators = tuple(replace(one, name=renamed(one.name)) if isinstance(one, Linear) else one for one in layer)
    arrays = Arrays(**{renamed(name): shape for name, shape in TINY.arrays.items()})
    other = replace(TINY, layer=Graph(layer.input, layer.features, operators, layer.output), arrays=arrays)
    assert other.products != TINY.products
    for tokens, position in ((1, 0), (TINY.positions, 0), (1, 9)):
        assert counted_decoder_cycles(other, tokens, position) == counted_decoder_cycles(TINY, tokens, position)


def test_keys_values_and_queries_may_come_from_linear_operators_of_their_own() -> None:
    # The cycles of its Verilog.
    first, *others = TINY.layer.of(Linear)
    own = [Linear(f"of_{part.name}", first.source, first.inputs, (part,)) for part in first.parts]
    operators = [one for operator in TINY.layer for one in (own if operator == first else [operator])]
    shapes = {one.name: TINY.arrays[first.name] for one in own} | {"of_values": (4, 1)}
    spec = replace(
        TINY, layer=Graph(TINY.layer.input, TINY.layer.features, tuple(operators), TINY.layer.output),
        arrays=Arrays(**shapes, **{name: shape for name, shape in TINY.arrays.items() if name != first.name}),
        channels=(1,) * (len(own) + len(others)),
    )  # fmt: skip
    runs = ((1, 0, 1), (5, 0, 2), (1, 5, 3), (30, 0, 4), (1, 30, 5))
    found = [counted_decoder_cycles(spec, tokens, position, k=k) for tokens, position, k in runs]
    assert found == pytest.approx([2867, 2913, 2870, 3164, 2874], abs=BETTER + EVENLY)
