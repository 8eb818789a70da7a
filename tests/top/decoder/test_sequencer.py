"""Commands become runs, or are refused and leave everything as it was."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.stream import connect
from hdl.top.decoder.orders import AcceptedCommand, Command, Outcome, Status
from hdl.top.decoder.sequencer import Sequencer

from ...harness import run_streams
from .designs import TINY


class Bench(wiring.Component):
    """A sequencer whose runs end with their last token."""

    def __init__(self, spec: DecoderSpec = TINY) -> None:
        self.spec = spec
        token = stream.Signature(range(spec.vocabulary))
        super().__init__(
            {
                "commands": In(stream.Signature(Command(spec))),
                "ids": In(token),
                "runs": Out(stream.Signature(AcceptedCommand(spec))),
                "tokens": Out(token),
                "status": Out(stream.Signature(Status(spec))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(self.spec)
        connect(m, self.commands, sequencer.commands)
        connect(m, self.ids, sequencer.ids)
        connect(m, sequencer.runs, self.runs)
        connect(m, sequencer.tokens, self.tokens)
        connect(m, sequencer.status, self.status)
        left = Signal(range(self.spec.positions + 1))
        moves = self.tokens.valid & self.tokens.ready
        with m.If(self.runs.valid & self.runs.ready):
            m.d.sync += left.eq(self.runs.payload.tokens)
        with m.Elif(moves):
            m.d.sync += left.eq(left - 1)
        m.d.comb += sequencer.done.eq(moves & (left == 1))
        return m


def commands(*given: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Of (restart, tokens, k)."""
    restart, tokens, k = np.array(given).T
    return {"restart": restart, "trace": 0 * restart, "k": k, "tokens": tokens}


def statuses(found: dict[str, np.ndarray]) -> list[tuple[Outcome, int]]:
    """Outcomes with positions."""
    pairs = zip(found["outcome"], found["position"], strict=True)
    return [(Outcome(outcome), int(position)) for outcome, position in pairs]


@pytest.mark.parametrize("given", [(1, 0, 3), (0, 0, 1)])
def test_no_tokens(given: tuple[int, int, int]) -> None:
    found = run_streams(Bench(), {"commands": commands(given)}, {"status": 1})
    assert statuses(found.outputs["status"]) == [(Outcome.NO_TOKENS, 0)]


@pytest.mark.parametrize("gaps", [None, 5])
@pytest.mark.parametrize(
    ("given", "ids", "outcome"),
    [
        ((1, 3, 1), [1, TINY.vocabulary, 2], Outcome.UNKNOWN_TOKEN),
        ((1, 1, 1), [127], Outcome.UNKNOWN_TOKEN),
        ((1, TINY.max_length + 1, 1), [0] * (TINY.max_length + 1), Outcome.FULL),
        ((1, 2 * TINY.max_length, 1), [99] * (2 * TINY.max_length), Outcome.FULL),
        ((1, 2, 0), [4, 5], Outcome.BAD_K),
        ((1, 2, TINY.largest + 1), [4, 5], Outcome.BAD_K),
    ],
)
def test_what_cannot_be_done_is_refused(
    given: tuple[int, int, int], ids: list[int], outcome: Outcome, gaps: int | None
) -> None:
    found = run_streams(Bench(), {"commands": commands(given), "ids": ids}, {"status": 1}, gaps=gaps)
    assert statuses(found.outputs["status"]) == [(outcome, 0)]


@pytest.mark.parametrize(("rows", "padding"), [(2, 1), (4, 3), (8, 7), (8, 0)])
def test_positions_end_in_the_middle_of_a_tile(rows: int, padding: int) -> None:
    spec = replace(TINY, rows=rows, padding=padding)
    last = spec.positions
    given = [
        ((1, last + 1, 1), Outcome.FULL), ((1, last, 1), Outcome.DONE), ((0, 1, 1), Outcome.FULL),
        ((1, last - 1, 1), Outcome.DONE), ((0, 2, 1), Outcome.FULL), ((0, 1, 1), Outcome.DONE),
    ]  # fmt: skip
    ids = [7] * sum(tokens for (_, tokens, _), _ in given)
    wanted = {"runs": 3, "tokens": 2 * last, "status": 6}
    found = run_streams(Bench(spec), {"commands": commands(*(one for one, _ in given)), "ids": ids}, wanted)
    places = [0, last, last, last - 1, last - 1, last]
    assert statuses(found.outputs["status"]) == list(zip((one for _, one in given), places, strict=True))


@pytest.mark.parametrize("gaps", [None, 5])
def test_runs_follow_each_other_in_a_text_and_refusals_change_nothing(gaps: int | None) -> None:
    given = [
        ((1, 6, 3), Outcome.DONE), ((0, 1, 1), Outcome.DONE), ((0, 3, 0), Outcome.BAD_K), ((0, 3, 2), Outcome.DONE),
        ((0, TINY.max_length - 9, 2), Outcome.FULL), ((0, TINY.max_length - 10, 2), Outcome.DONE),
        ((0, 1, 1), Outcome.FULL), ((1, 1, 64), Outcome.DONE),
    ]  # fmt: skip
    ids = np.random.default_rng(1).integers(0, TINY.vocabulary, sum(tokens for (_, tokens, _), _ in given)).tolist()
    runs, taken, reported, position, start = [], [], [], 0, 0
    for (restart, tokens, k), outcome in given:
        if outcome is Outcome.DONE:
            first = 0 if restart else position
            position = first + tokens
            taken += ids[start : start + tokens]
            runs.append(run(first, tokens, k))
        start += tokens
        reported.append((outcome, position))
    found = run_streams(
        Bench(),
        {"commands": commands(*(one for one, _ in given)), "ids": ids},
        {"runs": len(runs), "tokens": len(taken), "status": len(given)},
        gaps=gaps,
    )
    assert statuses(found.outputs["status"]) == reported
    assert found.outputs["tokens"] == taken
    for name, values in found.outputs["runs"].items():
        assert values.tolist() == [one[name] for one in runs], name


def run(position: int, tokens: int, k: int) -> dict[str, int]:
    """What a run must say."""
    (tile, row), (last, last_row) = divmod(position, TINY.rows), divmod(position + tokens - 1, TINY.rows)
    return {
        "position": position, "tokens": tokens, "tile": tile, "tiles": last - tile + 1, "row": row,
        "last_row": last_row, "k": k, "shared": int(tokens == 1), "trace": 0, "restart": int(position == 0),
        "blocks": -(-(position + tokens) // 8),
    }  # fmt: skip
