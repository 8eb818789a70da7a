"""The end of every scaling, in hardware: shift, bias, rounding, saturation."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, signed

from ..delay_registers import delay
from ..fixed import VariableShift, saturated
from ..resources import Resources
from .parameters import BIAS_FRACTION, SCALED_BITS, ChannelWord

__all__ = ["Finish", "finish_resources"]


class Finish(Elaboratable):
    """Twin of `parameters.finish`: ``saturate(round_shift(saturate(round_shift(value, shift), 24) + bias, 4), bits)``.

    A registered pipeline that takes new operands in each cycle and never stalls; ``result`` belongs to the operands of
    `latency` cycles before. Members: ``value`` (signed, ``width`` bits) and ``bias`` (signed 20, with `BIAS_FRACTION`
    fraction bits), of one cycle; ``shift`` (unsigned 6), one cycle before them; ``result`` (signed ``bits``, without
    the lowest integer if ``symmetric``).
    """

    latency = VariableShift.latency + 2

    def __init__(self, width: int, bits: int, *, symmetric: bool = False):
        self.bits, self.symmetric = bits, symmetric
        self.value = Signal(signed(width))
        self.shift = Signal(ChannelWord["shift"].shape)
        self.bias = Signal(ChannelWord["bias"].shape)
        self.result = Signal(signed(bits), reset_less=True)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.scale = scale = VariableShift(len(self.value), SCALED_BITS, shift_bits=len(self.shift))
        m.d.comb += [scale.value.eq(self.value), scale.shift.eq(self.shift)]
        # The half that rounding adds comes with the bias.
        rounding = Signal(signed(len(self.bias) + 1), reset_less=True)
        biased = Signal(signed(SCALED_BITS + 1), reset_less=True)
        m.d.sync += [
            rounding.eq(delay(m, "bias", self.bias, VariableShift.latency - 1) + (1 << BIAS_FRACTION - 1)),
            biased.eq(scale.result + rounding),
            self.result.eq(saturated(biased >> BIAS_FRACTION, self.bits, symmetric=self.symmetric)),
        ]
        return m


def finish_resources(width: int, bits: int) -> Resources:
    """LUT and FF of a `Finish`, without the 20 LUTs that delay the bias, which units with the same bias share."""
    # Each of the two shifts takes two LUTs per bit, rounding one, saturation and the bias the rest.
    return Resources(lut=6 * width, ff=3 * width + 52 + bits)
