"""The AXI4 masters of a memory channel: requests of the design become bursts within 4 KiB.

All outputs come from registers: every stream passes a `StreamBuffer`, so no combinational path leads from port to port.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..counted import Counted
from ..stream import StreamBuffer, buffered, connect
from .axi import DECODE_ERROR, INCR, SLAVE_ERROR, MasterSpec, read_signature, write_signature

__all__ = ["STATUS", "BurstCutter", "ReadMaster", "WriteMaster"]

STATUS = data.StructLayout({"slave_error": 1, "decode_error": 1, "misaligned": 1})
"""What went wrong since the reset, or since ``clear``. Each flag stays set: a SLVERR or DECERR came; a request came
while the base address was no multiple of a beat's bytes (its low bits count as zeros)."""


class BurstCutter(wiring.Component):
    """Cuts requests at the ends of pages, a burst in two cycles. It has up to ``outstanding`` bursts on the way.

    Members:
        base: the byte address of the design's beat 0; steady while requests come.
        requests: stream of `MasterSpec.request`.
        bursts: stream of `MasterSpec.burst`.
        answered: strobe; a burst has been answered.
        misaligned: sticky; see `STATUS`. ``clear``: strobe; clears it.
    """

    def __init__(self, spec: MasterSpec):
        self.spec = spec
        super().__init__(
            {
                "base": In(spec.address_bits),
                "requests": In(stream.Signature(spec.request)),
                "bursts": Out(stream.Signature(spec.burst)),
                "answered": In(1),
                "clear": In(1),
                "misaligned": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, request = self.spec, self.requests.payload
        m.submodules.asked = asked = StreamBuffer(spec.request)
        m.submodules.buffer = buffer = StreamBuffer(spec.burst)
        connect(m, self.requests, asked.input)
        connect(m, buffer.output, self.bursts)
        request = asked.output.payload
        # The present request: its next burst, and the beats that are left of it.
        busy = Signal()
        measured = Signal()
        address = Signal(spec.address_bits - spec.byte_bits, reset_less=True)
        left = Signal.like(request.beats, reset_less=True)
        beats = Signal(range(spec.page_beats + 1), reset_less=True)
        last = Signal(reset_less=True)
        free = Counted("free", spec.outstanding, init=spec.outstanding)
        room = spec.page_beats - address[: spec.page_bits]
        go = measured & buffer.input.ready & free.some
        m.d.comb += [
            asked.output.ready.eq(~busy),
            buffer.input.valid.eq(measured & free.some),
            buffer.input.payload.address.eq(address),
            buffer.input.payload.length.eq(beats - 1),
            buffer.input.payload.last.eq(last),
        ]
        free.step(m, up=self.answered, down=go)
        with m.If(~busy):
            m.d.sync += busy.eq(asked.output.valid & (request.beats != 0))
            m.d.sync += [address.eq(self.base[spec.byte_bits :] + request.address), left.eq(request.beats)]
        with m.Elif(~measured):
            m.d.sync += [measured.eq(1), last.eq(left <= room), beats.eq(Mux(left <= room, left, room))]
        with m.Elif(go):  # the next burst begins with a page
            m.d.sync += [busy.eq(~last), measured.eq(0), left.eq(left - beats)]
            m.d.sync += address.eq(Cat(Const(0, spec.page_bits), address[spec.page_bits :] + 1))
        with m.If(self.clear):
            m.d.sync += self.misaligned.eq(0)
        with m.Elif(asked.output.valid & (self.base[: spec.byte_bits] != 0)):
            m.d.sync += self.misaligned.eq(1)
        return m


def drive_address(m: Module, axi: Any, prefix: str, spec: MasterSpec, bursts: Any) -> None:
    """Connects the bursts with an address channel."""
    constants = {"id": 0, "burst": INCR, "size": spec.byte_bits, "cache": 0b0011, "prot": 0, "lock": 0}
    m.d.comb += [getattr(axi, f"{prefix}{name}").eq(value) for name, value in constants.items()]
    m.d.comb += [
        getattr(axi, f"{prefix}addr").eq(Cat(Const(0, spec.byte_bits), bursts.payload.address)),
        getattr(axi, f"{prefix}len").eq(bursts.payload.length),
        getattr(axi, f"{prefix}valid").eq(bursts.valid),
        bursts.ready.eq(getattr(axi, f"{prefix}ready")),
    ]


def note_errors(m: Module, status: Any, response: Value, taken: Value, clear: Value) -> None:
    """Keeps the errors of a response that is taken, until ``clear``."""
    with m.If(clear):
        m.d.sync += Value.cast(status).eq(0)
    with m.If(taken):
        for name, code in (("slave_error", SLAVE_ERROR), ("decode_error", DECODE_ERROR)):
            with m.If(response == code):
                m.d.sync += getattr(status, name).eq(1)


class ReadMaster(wiring.Component):
    """Reads: a beat per cycle as long as bursts are long. A beat with an error is passed on, and noted in ``status``.

    Members: ``base``, ``requests`` (as in `BurstCutter`); ``data``, stream of beats in the order of the requests;
    ``axi``, the channels AR and R; ``status``, see `STATUS`; ``clear``, a strobe.
    """

    def __init__(self, spec: MasterSpec):
        self.spec = spec
        super().__init__(
            {
                "base": In(spec.address_bits),
                "requests": In(stream.Signature(spec.request)),
                "data": Out(stream.Signature(unsigned(8 * spec.beat_bytes))),
                "axi": Out(read_signature(spec)),
                "clear": In(1),
                "status": Out(STATUS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, axi = self.spec, self.axi
        m.submodules.cutter = cutter = BurstCutter(spec)
        m.submodules.beats = beats = StreamBuffer(self.data.payload.shape())
        connect(m, self.requests, cutter.requests)
        connect(m, beats.output, self.data)
        drive_address(m, axi, "ar", spec, cutter.bursts)
        taken = axi.rvalid & axi.rready
        status = Signal(STATUS)
        m.d.comb += [
            cutter.base.eq(self.base),
            cutter.clear.eq(self.clear),
            beats.input.valid.eq(axi.rvalid),
            beats.input.payload.eq(axi.rdata),
            axi.rready.eq(beats.input.ready),
            cutter.answered.eq(taken & axi.rlast),
            Value.cast(self.status).eq(Value.cast(status)),
            self.status.misaligned.eq(cutter.misaligned),
        ]
        note_errors(m, status, axi.rresp, taken, self.clear)
        return m


class WriteMaster(wiring.Component):
    """Writes: a beat per cycle as long as bursts are long.

    Data do not wait for their address to be taken. A request is acknowledged when its last burst is answered.

    Members: ``base``, ``writes`` (as ``requests`` of `BurstCutter`); ``written``, stream of `MasterSpec.beat`;
    ``acknowledged``, a beat for each request; ``axi``, the channels AW, W and B; ``status``, see `STATUS`; ``clear``, a
    strobe.
    """

    def __init__(self, spec: MasterSpec):
        self.spec = spec
        super().__init__(
            {
                "base": In(spec.address_bits),
                "writes": In(stream.Signature(spec.request)),
                "written": In(stream.Signature(spec.beat)),
                "acknowledged": Out(stream.Signature(unsigned(1))),
                "axi": Out(write_signature(spec)),
                "clear": In(1),
                "status": Out(STATUS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, axi = self.spec, self.axi
        m.submodules.cutter = cutter = BurstCutter(spec)
        # Bursts whose data has not left, and those without an answer: as many as can be on the way.
        m.submodules.lengths = lengths = StreamBuffer(unsigned(spec.page_bits), spec.outstanding)
        m.submodules.ends = ends = StreamBuffer(unsigned(1), spec.outstanding)
        m.submodules.addresses = addresses = StreamBuffer(spec.burst)
        connect(m, self.writes, cutter.requests)
        drive_address(m, axi, "aw", spec, addresses.output)
        bursts = cutter.bursts
        go = Signal()
        m.d.comb += [
            cutter.base.eq(self.base),
            cutter.clear.eq(self.clear),
            go.eq(bursts.valid & addresses.input.ready & lengths.input.ready & ends.input.ready),
            bursts.ready.eq(go),
            lengths.input.payload.eq(bursts.payload.length),
            ends.input.payload.eq(bursts.payload.last),
            Value.cast(addresses.input.payload).eq(Value.cast(bursts.payload)),
            *(each.input.valid.eq(go) for each in (addresses, lengths, ends)),
        ]
        self._send(m, buffered(m, "next_length", lengths.output))
        self._answer(m, cutter, buffered(m, "next_end", ends.output))
        return m

    def _send(self, m: Module, lengths: Any) -> None:
        """Sends the data of one burst after the other."""
        spec, axi = self.spec, self.axi
        m.submodules.given = given = StreamBuffer(spec.beat)
        m.submodules.sent = sent = StreamBuffer(data.StructLayout({"beat": spec.beat, "last": 1}))
        connect(m, self.written, given.input)
        index = Signal(spec.page_bits)
        last = index == lengths.payload
        go = Signal()
        m.d.comb += [
            go.eq(lengths.valid & given.output.valid & sent.input.ready),
            given.output.ready.eq(go),
            lengths.ready.eq(go & last),
            sent.input.valid.eq(lengths.valid & given.output.valid),
            Value.cast(sent.input.payload.beat).eq(Value.cast(given.output.payload)),
            sent.input.payload.last.eq(last),
            axi.wdata.eq(sent.output.payload.beat.data),
            axi.wstrb.eq(sent.output.payload.beat.strobes),
            axi.wlast.eq(sent.output.payload.last),
            axi.wvalid.eq(sent.output.valid),
            sent.output.ready.eq(axi.wready),
        ]
        with m.If(go):
            m.d.sync += index.eq(Mux(last, 0, index + 1))

    def _answer(self, m: Module, cutter: BurstCutter, ends: Any) -> None:
        """Takes the answers of the bursts, and acknowledges the requests."""
        axi = self.axi
        m.submodules.answers = answers = StreamBuffer(unsigned(2))
        m.submodules.acknowledgements = acknowledgements = StreamBuffer(unsigned(1))
        connect(m, acknowledgements.output, self.acknowledged)
        status = Signal(STATUS)
        go = Signal()
        m.d.comb += [
            answers.input.valid.eq(axi.bvalid),
            answers.input.payload.eq(axi.bresp),
            axi.bready.eq(answers.input.ready),
            go.eq(answers.output.valid & ends.valid & acknowledgements.input.ready),
            answers.output.ready.eq(go),
            ends.ready.eq(go),
            acknowledgements.input.valid.eq(go & ends.payload),
            Value.cast(self.status).eq(Value.cast(status)),
            self.status.misaligned.eq(cutter.misaligned),
        ]
        m.d.sync += cutter.answered.eq(go)
        note_errors(m, status, answers.output.payload, go, self.clear)
        return
