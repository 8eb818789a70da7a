"""The parameters find their kernels: one memory channel, dealt out block by block."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import CHANNEL_BITS
from ..counted import Rotation
from ..memory import ReplayBuffer
from ..perf.geometry.parameter_blocks import PARAMETER_WORDS_A_BEAT, ParameterBlock
from ..stream import Fork, Pack, Unpack, connect, tile

__all__ = ["ParameterDealer"]


class ParameterDealer(wiring.Component):
    """Deals a parameter channel out to the kernels, ``width`` 64-bit words a cycle, in the order of the blocks.

    Each block but those that are read once (a table; the words of a decoder's head) has a replay buffer of two layers
    and is read once a tile; so the one channel never waits for a unit that is a layer behind the others. Every block
    begins with a whole ``width`` of words. Members: ``order`` (stream of a layer's tiles), ``channel`` (512-bit beats),
    and a stream for each block, by its name.
    """

    def __init__(self, blocks: Sequence[ParameterBlock], max_tiles: int, width: int = 1):
        self.blocks, self.max_tiles, self.width = tuple(blocks), max_tiles, width
        self.spec = (self.blocks, max_tiles, width)
        outputs = {block.name: Out(stream.Signature(self._shape(block))) for block in self.blocks}
        super().__init__(
            {
                "order": In(stream.Signature(unsigned(max_tiles.bit_length()))),
                "channel": In(stream.Signature(unsigned(CHANNEL_BITS))),
                **outputs,
            }
        )

    @staticmethod
    def _shape(block: ParameterBlock) -> Any:
        """The shape of a block's beats."""
        word = unsigned(64)
        return word if block.table and block.lanes == 1 else data.ArrayLayout(word, block.lanes)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        blocks, width = self.blocks, self.width
        beats = [ceil(block.words / width) for block in blocks]
        m.submodules.unpack = unpack = Unpack(1, width, PARAMETER_WORDS_A_BEAT // width, unsigned(64), beats=sum(beats))
        m.submodules.orders = orders = Fork(self.order.payload.shape(), len(blocks))
        connect(m, self.order, orders.input)
        m.d.comb += [
            unpack.input.valid.eq(self.channel.valid),
            unpack.input.payload.eq(self.channel.payload),
            self.channel.ready.eq(unpack.input.ready),
        ]
        sinks = [self._block(m, block, order) for block, order in zip(blocks, orders.outputs, strict=True)]
        turn = Rotation(beats)
        ready = Cat(bit & sink.ready for bit, sink in zip(turn.item, sinks, strict=True)).any()
        m.d.comb += unpack.output.ready.eq(ready)
        for bit, sink in zip(turn.item, sinks, strict=True):
            m.d.comb += [sink.payload.eq(unpack.output.payload), sink.valid.eq(unpack.output.valid & bit)]
        turn.step(m, unpack.output.valid & unpack.output.ready)
        return m

    def _block(self, m: Module, block: ParameterBlock, order: Any) -> Any:
        """The buffer of a block; returns the stream of words into it."""
        output, width, lanes = getattr(self, block.name), self.width, block.lanes
        if block.table:
            m.d.comb += order.ready.eq(1)  # the kernel keeps the table itself, or takes each word once
            return output if lanes == width else self._resized(m, block, output)
        words = block.replay(self.max_tiles, width)
        m.submodules[f"replay_{block.name}"] = replay = ReplayBuffer(tile(1, lanes, unsigned(64)), words)
        m.d.comb += [
            replay.order.valid.eq(order.valid),
            replay.order.payload.length.eq(block.words // lanes),
            replay.order.payload.repeat.eq(order.payload),
            order.ready.eq(replay.order.ready),
            output.valid.eq(replay.output.valid),
            output.payload.as_value().eq(replay.output.payload.as_value()),
            replay.output.ready.eq(output.ready),
        ]
        return replay.input if lanes >= width else self._resized(m, block, replay.input)

    def _resized(self, m: Module, block: ParameterBlock, sink: Any) -> Any:
        """The stream of ``width`` words a beat whose words reach ``sink``, as many a beat as the block has lanes."""
        width, lanes, word = self.width, block.lanes, unsigned(64)
        if lanes >= width:
            resize: Any = Pack(1, width, lanes // width, word, beats=ceil(block.words / width))
        else:
            resize = Unpack(1, lanes, width // lanes, word, beats=block.words // lanes)
        m.submodules[f"pack_{block.name}"] = resize
        m.d.comb += [
            Value.cast(sink.payload).eq(Value.cast(resize.output.payload)),
            sink.valid.eq(resize.output.valid),
            resize.output.ready.eq(sink.ready),
        ]
        return resize.input
