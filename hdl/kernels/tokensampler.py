"""TokenSampler: draws a token among candidates by their probabilities, with a uniform number from the host.

The candidates come best first, with logits l_0 >= l_1 >= ... A temperature becomes a factor m of 16 bits and a shift s.
In integers, exactly:

    d_i = l_0 - l_i                               the distance to the best
    x_i = (d_i * m) >> s                          -log2 of the relative probability, 10 places after the point
    n_i = TABLE[x_i mod 1024] >> (x_i >> 10)      65,536 for the best, 0 from 17 halvings on
    c_i = n_0 + ... + n_i
    t   = (u * c_last) >> 32                      u: uniform, 32 bits

The token drawn is the first one with c_i > t. TABLE[j] = round(2^(16 - j/1024)). A factor of 0 takes the best.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..delay_registers import delay
from ..hierarchy import place
from ..ram import Ram, RamSpec
from ..resources import Resources
from ..stream import buffer_resources, buffered
from .topk import LOGIT

__all__ = ["SAMPLING", "TABLE", "UNIFORM_BITS", "TokenSampler", "TokenSamplerSpec", "drawn_number", "sampling_factor"]

PLACES = 10
"""Places after the point of the exponent: entries of the table are 2 ^ PLACES."""

UNIFORM_BITS = 32
NUMERATOR_BITS = 17
FACTOR_BITS = 16

TABLE = tuple(int(value) for value in np.rint(2.0 ** (16 - np.arange(1 << PLACES) / (1 << PLACES))).astype(int))

SAMPLING = data.StructLayout({"factor": unsigned(FACTOR_BITS), "shift": unsigned(6), "uniform": unsigned(UNIFORM_BITS)})
"""How a token is drawn: the factor m and the shift s of the temperature, and the uniform number."""


def sampling_factor(logit_scale: float, temperature: float) -> tuple[int, int]:
    """The factor m, of 16 bits, and the shift s for logits of that scale.

    m / 2^s = log2(e) * logit_scale / temperature * 2^10. A temperature of 0 gives the factor 0; one so low that no
    second candidate counts, the largest.
    """
    if temperature == 0:
        return 0, 0
    with np.errstate(over="ignore"):
        exact = float(np.float64(logit_scale * np.log2(np.e) * (1 << PLACES)) / np.float64(temperature))
    if exact >= 1 << FACTOR_BITS - 1:
        return (1 << FACTOR_BITS) - 1, 0
    mantissa, exponent = np.frexp(exact)
    shift = FACTOR_BITS - int(exponent)
    factor = int(np.rint(mantissa * (1 << FACTOR_BITS)))
    if factor == 1 << FACTOR_BITS:
        factor, shift = factor >> 1, shift - 1
    if shift > 63:
        factor, shift = max(factor >> shift - 63, 1), 63
    return factor, shift


@dataclass(frozen=True, kw_only=True)
class TokenSamplerSpec:
    """A sampler of up to ``candidates`` candidates with ids of ``token_bits``.

    Raises:
        ValueError: for sizes below 1.
    """

    candidates: int
    token_bits: int

    def __post_init__(self) -> None:
        for name in ("candidates", "token_bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"sampler {name} must be at least 1, not {getattr(self, name)}")

    @property
    def candidate(self) -> data.StructLayout:
        """A candidate: ``token``, ``logit``, and whether it is the ``last``."""
        return data.StructLayout({"token": unsigned(self.token_bits), "logit": LOGIT, "last": 1})

    @property
    def sum_bits(self) -> int:
        """Bits of the sum of all numerators."""
        return NUMERATOR_BITS + (self.candidates - 1).bit_length()

    @property
    def ram(self) -> RamSpec:
        """The sums and the tokens."""
        return RamSpec(self.sum_bits + self.token_bits, self.candidates, "distributed")

    @property
    def pipeline(self) -> int:
        """Cycles from a candidate to its sum: distance, product, two shifts, table, its register, two shifts, sum."""
        return 9

    def latency(self, drawn: int) -> int:
        """Cycles from the acceptance of the last candidate to the token, if that with the number ``drawn`` is drawn."""
        return 1 + self.pipeline + 1 + UNIFORM_BITS + self.ram.latency + 1 + drawn + 2

    @property
    def resources(self) -> Resources:
        """RAM, DSP, LUT and FF."""
        table = Resources(bram36=0.5)
        shifts = Resources(lut=33 * 4 + NUMERATOR_BITS * 3, ff=33 * 2 + NUMERATOR_BITS * 3)
        tokens = Resources(lut=self.token_bits * 2, ff=self.token_bits * (self.pipeline + 2))
        sums = Resources(lut=4 * self.sum_bits, ff=4 * self.sum_bits + UNIFORM_BITS)
        waiting = buffer_resources(SAMPLING.size, 2) + buffer_resources(self.candidate.size, 2)
        return waiting + self.ram.resources + table + Resources(dsp=1) + shifts + tokens + sums

    def reference(self, logits: np.ndarray, factor: int, shift: int, uniform: int) -> int:
        """The number of the candidate drawn, of logits best first."""
        return drawn_number(logits, factor, shift, uniform)


def drawn_number(logits: np.ndarray, factor: int, shift: int, uniform: int) -> int:
    """The number of the candidate drawn, of logits best first; see the module's text."""
    if factor == 0:
        return 0
    distances = int(logits[0]) - np.asarray(logits, dtype=np.int64)
    exponents = distances * factor >> shift
    table = np.array(TABLE)[exponents & (1 << PLACES) - 1]
    sums = np.cumsum(table >> np.minimum(exponents >> PLACES, 63))
    return int(np.argmax(sums > uniform * int(sums[-1]) >> UNIFORM_BITS))


class TokenSampler(wiring.Component):
    """The sampler: a candidate each cycle, then `TokenSamplerSpec.latency`.

    Members:
        how: stream of `SAMPLING`, one for each token.
        candidates: stream of `TokenSamplerSpec.candidate`, best first.
        drawn: stream of tokens.
    """

    def __init__(self, spec: TokenSamplerSpec):
        self.spec = spec
        super().__init__(
            {
                "how": In(stream.Signature(SAMPLING)),
                "candidates": In(stream.Signature(spec.candidate)),
                "drawn": Out(stream.Signature(unsigned(spec.token_bits))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        how = buffered(m, "how_waiting", self.how)
        given = buffered(m, "candidates_waiting", self.candidates)
        m.submodules.ram = place(platform, ram := Ram(spec.ram.width, spec.ram.depth, spec.ram.style))
        taking = Signal(init=1)
        taken_all = Signal()
        go = Signal()
        m.d.comb += [go.eq(given.valid & how.valid & taking), given.ready.eq(how.valid & taking)]
        numerator, token, arrives, last = self._numerators(m, go, given.payload, how.payload)
        number = Signal(range(spec.candidates))
        count = Signal(range(spec.candidates))
        total = Signal(spec.sum_bits)
        self._sum(m, ram, numerator, token, arrives, total, number)
        with m.If(go & given.payload.last):
            m.d.sync += taking.eq(0)
        with m.If(arrives & last):
            m.d.sync += [taken_all.eq(1), count.eq(number)]
        done = Signal()
        self._draw(m, ram, how, taken_all, total, done)
        with m.If(done):
            m.d.sync += [taking.eq(1), taken_all.eq(0), total.eq(0), number.eq(0)]
        m.d.comb += how.ready.eq(done)
        return m

    def _numerators(self, m: Module, go: Signal, candidate: Any, how: Any) -> tuple[Any, Any, Any, Any]:
        """The numerator of a candidate, its token, and whether one arrives, and is the last."""
        best = Signal(LOGIT, reset_less=True)
        first = Signal(init=1)
        with m.If(go):
            m.d.sync += first.eq(candidate.last)
            with m.If(first):
                m.d.sync += best.eq(candidate.logit)
        distance = Signal(unsigned(LOGIT.width), reset_less=True)
        m.d.sync += distance.eq(Mux(first, 0, best - candidate.logit))
        product = Signal(unsigned(LOGIT.width + FACTOR_BITS), reset_less=True)
        m.d.sync += product.eq(distance * how.factor)
        coarse = Signal.like(product, reset_less=True)
        m.d.sync += coarse.eq(Array(product >> 8 * i for i in range(8))[how.shift[3:]])
        exponent = Signal.like(product, reset_less=True)
        m.d.sync += exponent.eq(Array(coarse >> i for i in range(8))[how.shift[:3]])
        m.submodules.table = table = Memory(shape=unsigned(NUMERATOR_BITS), depth=len(TABLE), init=TABLE)
        read = table.read_port()
        m.d.comb += read.addr.eq(exponent[:PLACES])
        entry = Signal(unsigned(NUMERATOR_BITS), reset_less=True)
        looked_up = Signal(range(32), reset_less=True)
        halvings = Signal(range(32), reset_less=True)
        m.d.sync += [
            looked_up.eq(Mux(exponent[PLACES:] >= NUMERATOR_BITS, NUMERATOR_BITS, exponent[PLACES:])),
            entry.eq(read.data),
            halvings.eq(looked_up),
        ]
        halved = Signal.like(entry, reset_less=True)
        left = Signal(range(4), reset_less=True)
        m.d.sync += [halved.eq(Array(entry >> 4 * i for i in range(5))[halvings[2:]]), left.eq(halvings[:2])]
        numerator = Signal.like(entry, reset_less=True)
        m.d.sync += numerator.eq(Array(halved >> i for i in range(4))[left])
        stages = self.spec.pipeline - 1
        token = delay(m, "token", candidate.token, stages)
        return numerator, token, delay(m, "go", go, stages, control=True), delay(m, "last", candidate.last, stages)

    def _sum(
        self, m: Module, ram: Any, numerator: Any, token: Any, arrives: Any, total: Signal, number: Signal
    ) -> None:
        """Adds the numerators up, and keeps each sum with its token."""
        summed = Signal()
        its_token = Signal.like(token)
        its_number = Signal.like(number)
        m.d.sync += [summed.eq(arrives), its_token.eq(token), its_number.eq(number)]
        with m.If(arrives):
            m.d.sync += [total.eq(total + numerator), number.eq(number + 1)]
        m.d.comb += [
            ram.write_enable.eq(summed),
            ram.write_address.eq(its_number),
            ram.write_data.eq(total | its_token << self.spec.sum_bits),
        ]

    def _draw(self, m: Module, ram: Any, how: Any, ready: Signal, total: Signal, done: Signal) -> None:
        """The threshold, one bit of the uniform number each cycle; then the sums, until one is above it."""
        spec = self.spec
        threshold = Signal(spec.sum_bits)
        uniform = Signal(UNIFORM_BITS)
        bit = Signal(range(UNIFORM_BITS))
        address = Signal(range(spec.candidates))
        fetched = Signal(spec.ram.latency)
        word = Signal(len(ram.read_data), reset_less=True)
        valid = Signal()
        above = Signal()
        greedy = Signal()
        found = Signal()
        m.d.sync += [word.eq(ram.read_data), valid.eq(fetched[-1])]
        m.d.comb += [
            ram.read_address.eq(address),
            above.eq((word[: spec.sum_bits] > threshold) | greedy),
        ]
        with m.If(valid & above & ~found):
            m.d.sync += [found.eq(1), self.drawn.payload.eq(word[spec.sum_bits :])]
        with m.FSM(name="state"):
            with m.State("wait"):
                m.d.sync += [threshold.eq(0), uniform.eq(how.payload.uniform), bit.eq(0), address.eq(0)]
                m.d.sync += [greedy.eq(how.payload.factor == 0), fetched.eq(0), found.eq(0)]
                with m.If(ready):
                    m.next = "multiply"
            with m.State("multiply"):
                m.d.sync += [
                    threshold.eq((threshold + Mux(uniform[0], total, 0)) >> 1),
                    uniform.eq(uniform >> 1),
                    bit.eq(bit + 1),
                ]
                with m.If((bit == UNIFORM_BITS - 1) | greedy):
                    m.next = "look"
            with m.State("look"):
                m.d.sync += [fetched.eq(fetched << 1 | 1), address.eq(address + 1)]
                with m.If(found):
                    m.next = "tell"
            with m.State("tell"):
                m.d.comb += self.drawn.valid.eq(1)
                with m.If(self.drawn.ready):
                    m.d.comb += done.eq(1)
                    m.next = "wait"
