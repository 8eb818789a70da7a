"""Servers, and the channel of parameters."""

import numpy as np
import pytest

from hdl.perf.geometry.parameter_blocks import ParameterBlock
from hdl.perf.schedule.servers import BUFFER, ParameterServer, Server


@pytest.mark.parametrize("varied", [False, True])
def test_pieces_end_one_behind_the_other(varied: bool) -> None:
    generator = np.random.default_rng(5)
    earliest = generator.integers(0, 400, (10, 4))
    cycles = generator.integers(1, 20, (10, 1)) if varied else np.full((10, 1), 7)
    server, last, expected = Server(start=3), 3, []
    for tile in range(10):
        for piece in range(4):
            last = max(int(earliest[tile, piece]), last + int(cycles[tile, 0]))
            expected.append(last)
    given = cycles if varied else 7
    parts = [
        server.ends(earliest[:6], given[:6] if varied else 7),
        server.ends(earliest[6:], given[6:] if varied else 7),
    ]
    assert np.concatenate(parts).reshape(-1).tolist() == expected
    assert server.last == expected[-1]


def test_parameters_wait_for_the_layer_before_the_last() -> None:
    blocks = (ParameterBlock("norm", 8, 2), ParameterBlock("limit", 1, 1), ParameterBlock("table", 16, 1, table=True))
    channel = ParameterServer(blocks, 0, max_tiles=4, tables={"table": 32}, width=2)
    first = channel.layer()
    replay = blocks[0].replay(4).latency
    assert first["norm"].tolist() == [BUFFER + replay + i for i in range(4)]
    # Five pieces before it, cut in words on its way.
    assert first["table"].tolist() == [5 + 2 * BUFFER + 32 + 1]
    # Two layers have room; the third waits for the first.
    second = channel.layer()
    assert second["norm"][0] < first["table"][0] + 32
    for name in first:
        channel.taken(name, 1000)
        channel.taken(name, 2000)
    third = channel.layer()
    assert third["norm"][0] == 1000 + BUFFER + replay
