"""The AXI4 and AXI4-Lite interfaces, as seen from the master; `MasterSpec`, the sizes of a memory's AXI4 master.

A master sends bursts of type INCR, of whole beats, and with one ID, so answers come in the order of the bursts.
"""

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..channel import BEAT_BYTES, MAX_BURST, Request

__all__ = ["DECODE_ERROR", "INCR", "OKAY", "SLAVE_ERROR", "MasterSpec", "lite_signature", "read_signature"]
__all__ += ["write_signature"]

OKAY, SLAVE_ERROR, DECODE_ERROR = 0, 2, 3
"""Responses of a slave. 1 answers exclusive accesses, which there are none of."""

INCR = 1
"""The type of a burst of consecutive addresses."""

CONSTANT = {
    "id": unsigned(1),
    "burst": unsigned(2),
    "size": unsigned(3),
    "cache": unsigned(4),
    "prot": unsigned(3),
    "lock": unsigned(1),
}
"""Signals of both address channels that never change."""


@dataclass(frozen=True, kw_only=True)
class MasterSpec:
    """A master for one memory channel.

    Attributes:
        beat_bytes: bytes of a beat, a power of two.
        address_bits: bits of an address on AXI, which counts bytes.
        index_bits: bits of an address of the design, which counts beats from the base on.
        max_beats: the most beats of a request of the design.
        page_beats: beats of a page, a power of two; no burst crosses the end of a page. AXI4's pages have 4 KiB.
        outstanding: the most bursts that are not answered.

    Raises:
        ValueError: for sizes that AXI4 does not have.
    """

    beat_bytes: int = BEAT_BYTES
    address_bits: int = 64
    index_bits: int = Request["address"].width
    max_beats: int = MAX_BURST
    page_beats: int = 4096 // BEAT_BYTES
    outstanding: int = 16

    def __post_init__(self) -> None:
        for name in ("beat_bytes", "page_beats"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} of an AXI master must be a power of two, not {value}")
        if self.beat_bytes > 128 or self.page_beats * self.beat_bytes > 4096:
            page = f"{self.page_beats} beats of {self.beat_bytes} bytes"
            raise ValueError(f"pages of an AXI master must have at most 4096 bytes, beats at most 128, not {page}")
        if self.outstanding < 2:
            raise ValueError(f"an AXI master must have at least 2 outstanding bursts, not {self.outstanding}")

    @property
    def byte_bits(self) -> int:
        """Bits of a byte's place in a beat."""
        return self.beat_bytes.bit_length() - 1

    @property
    def page_bits(self) -> int:
        """Bits of a beat's place in a page."""
        return self.page_beats.bit_length() - 1

    @property
    def request(self) -> data.StructLayout:
        """What the design asks for: `hdl.channel.Request`, in other sizes if the spec has other ones."""
        return data.StructLayout({"address": unsigned(self.index_bits), "beats": unsigned(self.max_beats.bit_length())})

    @property
    def beat(self) -> data.StructLayout:
        """A beat to be written: `hdl.channel.Written`."""
        return data.StructLayout({"data": unsigned(8 * self.beat_bytes), "strobes": unsigned(self.beat_bytes)})

    @property
    def burst(self) -> data.StructLayout:
        """A burst: the ``address`` of its first beat in beats, its ``beats`` less 1, and whether it is its request's
        ``last``."""
        address = unsigned(self.address_bits - self.byte_bits)
        return data.StructLayout({"address": address, "length": unsigned(self.page_bits), "last": unsigned(1)})


def _address(prefix: str, spec: MasterSpec) -> dict[str, wiring.Member]:
    """The signals of an address channel."""
    members = {"addr": unsigned(spec.address_bits), "len": unsigned(8), **CONSTANT, "valid": unsigned(1)}
    return {f"{prefix}{name}": Out(shape) for name, shape in members.items()} | {f"{prefix}ready": In(1)}


def read_signature(spec: MasterSpec) -> wiring.Signature:
    """The channels AR and R."""
    answer = {"rid": In(1), "rdata": In(8 * spec.beat_bytes), "rresp": In(2)}
    answer |= {"rlast": In(1), "rvalid": In(1), "rready": Out(1)}
    return wiring.Signature(_address("ar", spec) | answer)


def write_signature(spec: MasterSpec) -> wiring.Signature:
    """The channels AW, W and B."""
    beats = {"wdata": Out(8 * spec.beat_bytes), "wstrb": Out(spec.beat_bytes), "wlast": Out(1)}
    beats |= {"wvalid": Out(1), "wready": In(1), "bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1)}
    return wiring.Signature(_address("aw", spec) | beats)


def lite_signature(address_bits: int) -> wiring.Signature:
    """AXI4-Lite with 32 bits of data."""
    address = {f"a{way}{name}": flow for way in "wr" for name, flow in _lite_address(address_bits).items()}
    write = {"wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1)}
    answer = {"bresp": In(2), "bvalid": In(1), "bready": Out(1)}
    read = {"rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1)}
    return wiring.Signature(address | write | answer | read)


def _lite_address(bits: int) -> dict[str, wiring.Member]:
    """The signals of an address channel of AXI4-Lite."""
    return {"addr": Out(bits), "valid": Out(1), "ready": In(1)}
