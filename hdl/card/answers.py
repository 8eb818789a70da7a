"""Answers of a decoder in memory: a record for each token that was generated, and its candidates if they are wanted.

A record is a beat, little endian: bytes 0..3 the number of the token, from 1 on; bytes 4..7 its id; the rest is 0. The
candidates of a token follow its record, eight in a beat: bytes 8 i..8 i + 3 the id of candidate i, bytes 8 i + 4..8 i +
7 its logit (int32). A record is written after its candidates have been acknowledged, so a host that clears the buffer
may read it while the run goes on.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..channel import Request, Written
from ..stream import buffered
from .report import REPORT_BEATS

__all__ = ["ANSWER", "BEAT_CANDIDATES", "NO_STOP", "AnswerWriter"]

ANSWER = data.StructLayout({"token": unsigned(32), "logit": signed(32), "last": 1, "record": 1})
"""A candidate, with whether it is its token's ``last``; or a ``record`` of the token."""

BEAT_CANDIDATES = 8

NO_STOP = 0xFFFF_FFFF
"""The stop token of a request that no token is."""


class AnswerWriter(wiring.Component):
    """Writes answers.

    Members:
        begin: strobe; the next record is number 1, the first beat after the report.
        answers: stream of `ANSWER`; the candidates of a token, if they are wanted, then its record.
        writes, written, acknowledged: those of `WriteMaster`.
        idle: all that was taken is in memory. ``records``: their number.
    """

    spec = ()

    def __init__(self) -> None:
        super().__init__(
            {
                "begin": In(1),
                "answers": In(stream.Signature(ANSWER)),
                "writes": Out(stream.Signature(Request)),
                "written": Out(stream.Signature(Written)),
                "acknowledged": In(stream.Signature(unsigned(1))),
                "idle": Out(1),
                "records": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        answers = buffered(m, "waiting", self.answers)
        answer = answers.payload
        pairs = [Signal(64, name=f"pair_{i}", reset_less=True) for i in range(BEAT_CANDIDATES)]
        slot = Signal(BEAT_CANDIDATES, init=1)
        held = Signal(64, reset_less=True)  # a pair on its way to its place
        recorded = Signal()  # it is a record
        put = Signal(BEAT_CANDIDATES)
        used = Signal(BEAT_CANDIDATES)  # the pairs of the present beat; the others are 0 in memory
        address = Signal(32)
        record_address = Signal(32)
        number = Signal(32)
        owed = Signal(8)  # writes without an acknowledgement
        asked = Signal()  # the present write's request and beat have been taken
        given = Signal()
        m.d.comb += [
            self.acknowledged.ready.eq(1),
            self.writes.payload.beats.eq(1),
            self.written.payload.strobes.eq(~0),
            self.written.payload.data.eq(Cat(Mux(bit, pair, 0) for bit, pair in zip(used, pairs, strict=True))),
        ]
        sent = Signal()
        m.d.sync += owed.eq(owed + sent - self.acknowledged.valid)
        with m.If(self.begin):
            m.d.sync += [
                address.eq(REPORT_BEATS + 1),
                record_address.eq(REPORT_BEATS),
                self.records.eq(0),
                number.eq(1),
            ]
        m.d.sync += put.eq(0)
        for bit, pair in zip(put, pairs, strict=True):
            with m.If(bit):
                m.d.sync += pair.eq(held)
        with m.FSM(name="state"):
            with m.State("take"):
                m.d.comb += self.idle.eq(~answers.valid & (owed == 0) & ~put.any())
                m.d.comb += answers.ready.eq(~answer.record | (owed == 0))
                with m.If(answers.valid & answers.ready):
                    m.d.sync += recorded.eq(answer.record)
                    m.d.sync += held.eq(Mux(answer.record, Cat(number, answer.token), Cat(answer.token, answer.logit)))
                    m.d.sync += self.writes.payload.address.eq(Mux(answer.record, record_address, address))
                with m.If(answers.valid & answer.record & (owed == 0)):
                    m.d.sync += [put.eq(1), used.eq(1)]
                    m.next = "fill"
                with m.Elif(answers.valid & ~answer.record):
                    m.d.sync += [put.eq(slot), used.eq(slot | Mux(slot[0], 0, used)), slot.eq(slot.rotate_left(1))]
                    with m.If(slot[-1] | answer.last):
                        m.d.sync += slot.eq(1)
                        m.next = "fill"
            with m.State("fill"):  # the beat's last pair
                m.d.sync += address.eq(address + 1)
                with m.If(recorded):
                    m.d.sync += [record_address.eq(address), number.eq(number + 1), self.records.eq(number)]
                m.next = "write"
            with m.State("write"):
                m.d.comb += [self.writes.valid.eq(~asked), self.written.valid.eq(~given)]
                with m.If(self.writes.ready):
                    m.d.sync += asked.eq(1)
                with m.If(self.written.ready):
                    m.d.sync += given.eq(1)
                with m.If((asked | self.writes.ready) & (given | self.written.ready)):
                    m.d.comb += sent.eq(1)
                    m.d.sync += [asked.eq(0), given.eq(0)]
                    m.next = "take"
        return m
