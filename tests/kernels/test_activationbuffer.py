"""The buffer of activations: every word is complete, in order, as often as ordered, and as soon as its latency says."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.delay_registers import delay
from hdl.kernels.activationbuffer import ActivationBuffer, ActivationBufferSpec
from hdl.stream import PipelineBuffer, connect
from tests.harness import run_streams
from tests.synthesis import assert_mapped

SPECS = {
    "two beats a word": ActivationBufferSpec(rows=2, depth=8, lanes=4, beats=6, words=6, max_repeat=3),
    "a beat a word": ActivationBufferSpec(rows=4, depth=8, lanes=8, beats=2, words=5, max_repeat=2),
    "a short last word": ActivationBufferSpec(rows=2, depth=16, lanes=4, beats=6, words=4, max_repeat=3),
    "one beat a row": ActivationBufferSpec(rows=2, depth=8, lanes=2, beats=1, words=3, max_repeat=2),
    "block RAM": ActivationBufferSpec(rows=2, depth=8, lanes=4, beats=4, words=70, max_repeat=1),
}


class Words(wiring.Component):
    """A buffer whose words leave as a stream, as soon as they are offered."""

    def __init__(self, spec: ActivationBufferSpec):
        self.spec = spec
        buffer = ActivationBuffer(spec)
        self.payload = data.StructLayout({"word": unsigned(spec.rows * spec.depth * 8), "last": 1})
        super().__init__(
            {
                "input": In(buffer.input.signature),
                "order": In(buffer.order.signature),
                "output": Out(stream.Signature(self.payload)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        latency = self.spec.read_latency
        m.submodules.buffer = buffer = ActivationBuffer(self.spec)
        m.submodules.words = words = PipelineBuffer(self.payload, latency + 2)
        connect(m, self.input, buffer.input)
        connect(m, self.order, buffer.order)
        connect(m, words.output, self.output)
        m.d.comb += [
            buffer.offers.ready.eq(words.room),
            words.take.eq(buffer.offers.valid & words.room),
            words.push.eq(delay(m, "taken", words.take, latency)),
            words.payload.word.eq(buffer.word),
            words.payload.last.eq(delay(m, "last", buffer.offers.payload.last, latency)),
        ]
        return m


def words_of(spec: ActivationBufferSpec, beats: np.ndarray) -> np.ndarray:
    """The words, int8 [words, rows, depth], of rows of beats [rows of beats * beats, rows, lanes]."""
    rows = beats.reshape(-1, spec.beats, *beats.shape[1:])
    missing = -spec.beats % spec.parts
    filled = np.concatenate([rows, np.repeat(rows[:, -1:], missing, axis=1)], axis=1)
    return (
        filled.reshape(-1, spec.parts, spec.rows, spec.lanes).transpose(0, 2, 1, 3).reshape(-1, spec.rows, spec.depth)
    )


@pytest.mark.parametrize("gaps", [None, 1])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_words_are_read_in_order_as_often_as_ordered(spec: ActivationBufferSpec, gaps: int | None) -> None:
    rng = np.random.default_rng(1)
    length = -(-spec.beats // spec.parts)
    repeats = rng.integers(1, spec.max_repeat + 1, 5)
    beats = rng.integers(-128, 128, (5 * spec.beats, spec.rows, spec.lanes))
    words = words_of(spec, beats).reshape(5, length, -1)
    expected = np.concatenate([np.tile(one, (repeat, 1)) for one, repeat in zip(words, repeats, strict=True)])
    inputs = {"input": beats, "order": {"length": [length] * 5, "repeat": repeats}}
    result = run_streams(Words(spec), inputs, {"output": len(expected)}, gaps=gaps)
    found = [int(word).to_bytes(spec.rows * spec.depth, "little") for word in result.outputs["output"]["word"]]
    assert found == [word.astype(np.int8).tobytes() for word in expected]
    assert list(result.outputs["output"]["last"]) == ([0] * (length - 1) + [1]) * int(repeats.sum())
    if gaps is None:
        completes = min(spec.parts, spec.beats) - 1
        left = result.accepted["output"][0] - result.accepted["input"][completes]
        assert left == spec.latency + spec.read_latency + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, "activation lanes must divide the depth 8, not 3"),
        ({"words": 0}, "replay buffer needs at least 1 word and 1 reading, not 0 and 3"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        ActivationBufferSpec(**{"rows": 2, "depth": 8, "lanes": 4, "beats": 6, "words": 6, "max_repeat": 3} | changes)
    assert str(error.value) == message


def test_resources_are_those_of_synthesis() -> None:
    specs = [
        ActivationBufferSpec(rows=4, depth=16, lanes=4, beats=8, words=12, max_repeat=8),
        ActivationBufferSpec(rows=4, depth=16, lanes=4, beats=9, words=200, max_repeat=8),
    ]
    assert_mapped((ActivationBuffer(spec), spec.resources) for spec in specs)
