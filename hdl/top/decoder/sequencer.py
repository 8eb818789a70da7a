"""The sequencer: commands of the host become runs, one after the other, or are refused without a trace."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...kernels.kvblocks import BLOCK
from ...perf.geometry.decoder_spec import DecoderSpec
from ...stream import StreamBuffer, buffered
from .orders import AcceptedCommand, Command, Outcome, Status

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Takes a command and its ids, checks all of them, and only then starts the run.

    Members: ``commands``, ``ids`` (streams from the host), ``status`` (stream to the host, one a command, behind its
    results); ``runs`` (stream), ``tokens`` (stream of the run's ids); ``left`` (strobe: the last layer's last tile has
    left the pipeline), ``done`` (strobe: the run's last result has been taken); ``shared`` (level: all arrays work on
    one product at a time, which may change only while the pipeline is empty).
    """

    def __init__(self, spec: DecoderSpec):
        self.spec = spec
        # The ids after the vocabulary, of which there is at least one, stand for all that do not exist.
        given, token = (stream.Signature(range(spec.vocabulary + more)) for more in (1, 0))
        super().__init__(
            {
                "commands": In(stream.Signature(Command(spec))),
                "ids": In(given),
                "status": Out(stream.Signature(Status(spec))),
                "runs": Out(stream.Signature(AcceptedCommand(spec))),
                "tokens": Out(token),
                "left": In(1),
                "done": In(1),
                "shared": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, commands = self.spec, buffered(m, "waiting", self.commands)
        command = commands.payload
        m.submodules.held = held = StreamBuffer(self.tokens.payload.shape(), max(spec.positions, 2))
        start = Signal.like(self.status.payload.position)
        end = Signal(range(2 * spec.positions + 1))
        counted = Signal.like(command.tokens)
        unknown = Signal()
        outcome = Signal(Outcome)
        m.d.comb += [
            self.status.payload.outcome.eq(outcome),
            self.tokens.payload.eq(held.output.payload),
            held.input.payload.eq(self.ids.payload),
        ]
        known = self.ids.payload < spec.vocabulary
        with m.FSM(name="state"):
            with m.State("command"):
                m.d.sync += [counted.eq(0), unknown.eq(0)]
                m.d.sync += [start.eq(Mux(command.restart, 0, self.status.payload.position))]
                with m.If(commands.valid):
                    m.next = "check"
                    with m.If(command.tokens != 0):
                        m.next = "collect"
            with m.State("collect"):
                m.d.comb += self.ids.ready.eq(1)
                # What is refused anyway need not be held.
                m.d.comb += held.input.valid.eq(self.ids.valid & known & (counted < spec.positions))
                with m.If(self.ids.valid):
                    m.d.sync += [counted.eq(counted + 1), unknown.eq(unknown | ~known)]
                    with m.If(counted == command.tokens - 1):
                        m.next = "check"
            with m.State("check"):
                m.d.sync += [end.eq(start + command.tokens), outcome.eq(Outcome.DONE)]
                with m.If(command.tokens == 0):
                    m.d.sync += outcome.eq(Outcome.NO_TOKENS)
                with m.Elif(start + command.tokens > spec.positions):
                    m.d.sync += outcome.eq(Outcome.FULL)
                with m.Elif(unknown):
                    m.d.sync += outcome.eq(Outcome.UNKNOWN_TOKEN)
                with m.Elif((command.k == 0) | (command.k > spec.largest)):
                    m.d.sync += outcome.eq(Outcome.BAD_K)
                m.next = "begin"
            with m.State("begin"):
                m.d.comb += self.runs.valid.eq(outcome == Outcome.DONE)
                with m.If(outcome != Outcome.DONE):
                    m.next = "forget"
                with m.Elif(self.runs.ready):
                    m.next = "run"
            with m.State("forget"):
                m.d.comb += held.output.ready.eq(1)
                with m.If(~held.output.valid):
                    m.next = "report"
            with m.State("run"):
                m.d.comb += [self.tokens.valid.eq(held.output.valid), held.output.ready.eq(self.tokens.ready)]
                with m.If(self.done):
                    m.d.sync += self.status.payload.position.eq(end)
                    m.next = "report"
            with m.State("report"):
                m.d.comb += self.status.valid.eq(1)
                with m.If(self.status.ready):
                    m.d.comb += commands.ready.eq(1)
                    m.next = "command"
        self._run(m, command, start, end)
        return m

    def _run(self, m: Module, command: Any, start: Signal, end: Signal) -> None:
        """The run of the present command."""
        spec, run = self.spec, self.runs.payload
        bits = (spec.rows - 1).bit_length()
        last = Signal(range(2 * spec.positions))
        m.d.comb += [
            last.eq(end - 1),
            run.position.eq(start),
            run.tokens.eq(command.tokens),
            run.tile.eq(start[bits:]),
            run.tiles.eq(last[bits:] - start[bits:] + 1),
            run.row.eq(start[:bits]),
            run.last_row.eq(last[:bits]),
            run.k.eq(command.k),
            run.restart.eq(start == 0),
            run.blocks.eq((end + BLOCK - 1) >> (BLOCK.bit_length() - 1)),
            run.shared.eq(command.tokens == 1),
            run.trace.eq(command.trace),
        ]
        begins = self.runs.valid & self.runs.ready
        with m.If(begins):
            m.d.sync += self.shared.eq(run.shared)
        with m.Elif(self.left):
            m.d.sync += self.shared.eq(1)
