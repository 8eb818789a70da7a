"""What the host asks of a decoder, what it hears, and the orders that a run becomes inside."""

from enum import IntEnum
from math import ceil

from amaranth.hdl import unsigned
from amaranth.lib import data

from ...kernels.kvblocks import BLOCK
from ...perf.geometry.decoder_spec import DecoderSpec

__all__ = ["AcceptedCommand", "Command", "Outcome", "Status", "TileOrder", "TilesOrder"]


class Outcome(IntEnum):
    """How a command ended. All but the first leave the keys, the values and the position as they were."""

    DONE = 0
    NO_TOKENS = 1
    UNKNOWN_TOKEN = 2
    FULL = 3
    """More tokens than there are positions left."""
    BAD_K = 4


class Command(data.StructLayout):
    """Tokens to take: ``tokens`` ids follow in the stream of ids.

    ``restart``: they begin a text at position 0; else they go on where the last ended. ``k``: the best candidates to
    send, 1..`DecoderSpec.largest`. ``trace``: every layer's output leaves too. A single token is decoded by all
    arrays together, several run through the pipeline one tile behind the other.
    """

    def __init__(self, spec: DecoderSpec):
        # Twice what can be taken, so that most of what is too long can be said, and refused.
        tokens = spec.positions.bit_length() + 1
        super().__init__({"restart": 1, "trace": 1, "k": spec.largest.bit_length(), "tokens": tokens})


class Status(data.StructLayout):
    """The end of a command: its ``outcome``, and the ``position`` of the next token."""

    def __init__(self, spec: DecoderSpec):
        super().__init__({"outcome": unsigned(3), "position": unsigned(spec.positions.bit_length())})


class AcceptedCommand(data.StructLayout):
    """A command that is carried out.

    ``position`` of its first token, ``tokens``; the first ``tile``, the number of ``tiles``, the ``row`` of the first
    token in the first and the ``last_row`` of the last in the last; ``restart``: it begins a text, of which ``blocks``
    of 8 tokens then hold all; ``shared``: a single token.
    """

    def __init__(self, spec: DecoderSpec):
        row = range(spec.rows)
        super().__init__(
            {
                "position": range(spec.positions),
                "tokens": spec.positions.bit_length(),
                "tile": range(spec.max_tiles),
                "tiles": spec.max_tiles.bit_length(),
                "row": row,
                "last_row": row,
                "k": spec.largest.bit_length(),
                "restart": 1,
                "blocks": range(ceil(spec.max_length / BLOCK) + 1),
                "shared": 1,
                "trace": 1,
            }
        )


class TilesOrder(data.StructLayout):
    """A layer of a run: its number, whether it is the first or the last, and the run's tiles."""

    def __init__(self, spec: DecoderSpec):
        super().__init__(
            {
                "first": 1,
                "last": 1,
                "trace": 1,
                "shared": 1,
                "layer": range(spec.max_layers),
                "tile": range(spec.max_tiles),
                "tiles": spec.max_tiles.bit_length(),
                "row": range(spec.rows),
            }
        )


class TileOrder(data.StructLayout):
    """A tile of a layer for attention.

    ``rows``: a bit for each row whose keys and values are to be kept; by the name of each of `PipelineSpec.counts`, the
    steps that cover the keys up to the tile's end; ``tokens``, their number; whether it is the run's ``last`` of its
    layer.
    """

    def __init__(self, spec: DecoderSpec):
        super().__init__(
            {
                "layer": range(spec.max_layers),
                "tile": range(spec.max_tiles),
                "rows": unsigned(spec.rows),
                **{name: bound.bit_length() for name, bound in spec.count_bounds.items()},
                "last": 1,
                "tokens": spec.max_length.bit_length(),
            }
        )
