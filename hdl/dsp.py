"""The DSP48E2 cascade: two dot products of eight terms with one multiplier for each term.

Two rows of activations share a weight. The pre-adder forms ``a1 * 2**18 + a0``, and the multiplier multiplies it by
``w``. Eight DSP48E2 in cascade add eight such products in one 48-bit word P, from which both sums are read:

    low  = P[17:0] as signed,   high = P[47:18] as signed + P[17]

``|low| <= 8 * 128 * 127 < 2**17`` because weights are -127..127 (activations may be -128..127). For every simulator
there is a behavioural twin of the same latency; a platform with ``dsp48e2`` true gets the primitives.
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .resources import Resources

__all__ = ["CASCADE", "CASCADE_SUM_BITS", "Cascade"]

CASCADE = 8
"""DSP48E2 of a cascade. Their weights fill a 64-bit word, and the sum ``low`` of more terms could exceed 18 bits."""

PACK_SHIFT = 18
"""The lowest bit of the second row's sum in the packed word."""

CASCADE_SUM_BITS = PACK_SHIFT
"""Width of a signed sum of eight products."""


class Cascade(wiring.Component):
    """``sums[r] = sum_i activations[r][i] * weights[i]`` for two rows r, in every cycle; it never stalls.

    The inputs are skewed: element i arrives i cycles after element 0. `latency` counts from element 0 to the sums.
    Members, as plain bits with the first element lowest: ``activations`` (2 x 8 int8, -128..127), ``weights`` (8 int8,
    -127..127), ``sums`` (2 signed 18).
    """

    activations: In(2 * CASCADE * 8)
    weights: In(CASCADE * 8)
    sums: Out(2 * CASCADE_SUM_BITS)

    latency = CASCADE + 3 + 1
    """Registers: input, pre-adder and multiplier, a sum for each element, and one after the two sums are separated."""

    primitive = True
    """The emission writes this component both ways; a define selects one."""

    resources = Resources(dsp=CASCADE, lut=2, ff=36)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if getattr(platform, "dsp48e2", False):
            self._primitives(m)
        else:
            self._twin(m)
        return m

    def _element(self, row: int, i: int) -> tuple[Value, Value]:
        """Activation and weight i of a row."""
        activation = self.activations.word_select(row * CASCADE + i, 8)
        return activation.as_signed(), self.weights.word_select(i, 8).as_signed()

    def _twin(self, m: Module) -> None:
        # The registers before the sums are moved after them: each value has the same cycle, with far fewer registers to
        # simulate.
        for row in range(2):
            total: Any = Const(0, signed(CASCADE_SUM_BITS))
            for i in range(CASCADE):
                activation, weight = self._element(row, i)
                partial = Signal(signed(CASCADE_SUM_BITS), name=f"partial{row}_{i}", reset_less=True)
                m.d.sync += partial.eq(total + activation * weight)
                total = partial
            for i in range(self.latency - CASCADE):
                delayed = Signal(signed(CASCADE_SUM_BITS), name=f"delayed{row}_{i}", reset_less=True)
                m.d.sync += delayed.eq(total)
                total = delayed
            m.d.comb += self.sums.word_select(row, CASCADE_SUM_BITS).eq(total)

    def _primitives(self, m: Module) -> None:
        carried: Any = Const(0, 48)
        for i in range(CASCADE):
            packed, carry_out = Signal(48, name=f"p_{i}"), Signal(48, name=f"pcout_{i}")
            (low, weight), (high, _) = self._element(0, i), self._element(1, i)
            m.submodules[f"dsp_{i}"] = dsp48e2(
                a=low,
                b=weight,
                d=Cat(Const(0, PACK_SHIFT), high),
                pcin=carried,
                p=packed,
                pcout=carry_out,
                first=i == 0,
            )
            carried = carry_out
        low_sum, high_sum = (Signal(CASCADE_SUM_BITS, name=f"{name}_sum", reset_less=True) for name in ("low", "high"))
        m.d.sync += [
            low_sum.eq(packed[:PACK_SHIFT]),
            high_sum.eq(packed[PACK_SHIFT:] + packed[PACK_SHIFT - 1]),
        ]
        m.d.comb += self.sums.eq(Cat(low_sum, high_sum))


def dsp48e2(*, a: Any, b: Any, d: Any, pcin: Any, p: Signal, pcout: Signal, first: bool) -> Instance:
    """One DSP48E2 computing ``p = pcin + (d + a) * b`` with all its registers: four cycles from a, b, d to p, one
    from pcin."""

    def extended(value: Any, width: int) -> Signal:
        return Cat(value, value[-1].replicate(width - len(value)))

    enables = ("A1", "A2", "AD", "ALUMODE", "B1", "B2", "C", "CARRYIN", "CTRL", "D", "INMODE", "M", "P")
    resets = ("A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE", "M", "P")
    registers = {
        "ACASCREG": 1, "ADREG": 1, "ALUMODEREG": 0, "AREG": 1, "BCASCREG": 2, "BREG": 2, "CARRYINREG": 0,
        "CARRYINSELREG": 0, "CREG": 0, "DREG": 1, "INMODEREG": 0, "MREG": 1, "OPMODEREG": 0, "PREG": 1,
    }  # fmt: skip
    return Instance(
        "DSP48E2",
        **{f"p_{name}": value for name, value in registers.items()},
        p_AMULTSEL="AD",
        p_BMULTSEL="B",
        p_PREADDINSEL="A",
        i_CLK=ClockSignal(),
        i_A=extended(a, 30),
        i_B=extended(b, 18),
        i_C=Const(0, 48),
        i_D=extended(d, 27),
        i_PCIN=pcin,
        i_INMODE=Const(0b00100, 5),
        i_ALUMODE=Const(0b0000, 4),
        i_OPMODE=Const(0b000000101 if first else 0b000010101, 9),
        i_CARRYIN=Const(0, 1),
        i_CARRYINSEL=Const(0, 3),
        **{f"i_CE{name}": Const(1, 1) for name in enables},
        **{f"i_RST{name}": Const(0, 1) for name in resets},
        o_P=p,
        o_PCOUT=pcout,
    )
