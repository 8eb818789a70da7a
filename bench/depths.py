"""FIFO depths: with the computed depths a sequence takes as many cycles as with greater depths; with smaller depths it
takes more, or the pipeline deadlocks. ``python -m bench.depths`` prints the cycles, and fails where this is false."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from hdl.model.architecture import Add
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from sim.streams import Deadlock
from tests.top.depths import (
    DECODER,
    ENCODER,
    DeepDecoder,
    ShallowAttention,
    ShallowAttentionDecoder,
    ShallowFeedForward,
    ShallowFeedForwardDecoder,
    ShallowLoopDecoder,
    ShallowQueries,
    decoder_cycles,
    encoder_cycles,
)
from tests.top.designs import TINY

SLOWER = 2
"""With room for a single tile at an addition, a prompt takes more than this many times the cycles."""


def cycles(count: Callable[..., int], *design: Any) -> int | None:
    """The cycles of a design; None where it deadlocks."""
    try:
        return count(*design)
    except Deadlock:
        return None


def found() -> Iterator[tuple[str, str, int | None, bool]]:
    """Each design: its name, what is expected, its cycles (None: a deadlock), and whether the expectation holds."""
    encoder = cycles(encoder_cycles, PipelineSpec)
    yield "encoder, computed depths", "ends", encoder, encoder is not None
    # The rows of the smaller design would find room in the units between.
    for kind, design in ((ShallowQueries, ENCODER), (ShallowAttention, ENCODER), (ShallowFeedForward, TINY)):
        encoder = cycles(encoder_cycles, kind, design)
        yield f"encoder, {kind.__name__}", "deadlocks", encoder, encoder is None
    # A depth that holds every tile would prove nothing.
    assert DECODER.max_tiles > max(map(DECODER.tiles_in_branch, DECODER.layer.of(Add)))
    computed = decoder_cycles(DecoderSpec)
    yield "decoder, computed depths", "ends", computed, True
    deep = cycles(decoder_cycles, DeepDecoder)
    yield f"decoder, {DeepDecoder.__name__}", "takes as many", deep, deep == computed
    for shallow in (ShallowAttentionDecoder, ShallowFeedForwardDecoder):
        slow = cycles(decoder_cycles, shallow)
        holds = slow is not None and slow > SLOWER * computed
        yield f"decoder, {shallow.__name__}", f"takes more than {SLOWER} times as many", slow, holds
    loop = cycles(decoder_cycles, ShallowLoopDecoder)
    yield f"decoder, {ShallowLoopDecoder.__name__}", "deadlocks", loop, loop is None


def main() -> int:
    """Prints the table; 1 where an expectation does not hold."""
    table = Table("design", "expected", "cycles", "holds", title="cycles of the longest sequence")
    failures = 0
    for design, expected, taken, holds in found():
        table.add_row(design, expected, "deadlock" if taken is None else f"{taken:,}", "yes" if holds else "no")
        failures += not holds
    Console(highlight=False, width=120).print(table)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
