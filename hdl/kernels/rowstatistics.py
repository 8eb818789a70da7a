"""Row statistics: mean and reciprocal standard deviation of a row, from its sum and sum of squares, with integers only.

d: features. L = ceil(log2 d). W: bits of V (`RowStatisticsSpec.variance_bits`), an even number of at least 36.

    mean = round_shift(sum * MEAN, 16 + L)                 MEAN = round(2^(20 + L) / d): the mean, with 4 fraction bits
    V = d * squares - sum^2 + epsilon.value                d^2 times (variance + epsilon)
    z even: V << z in [2^(W-2), 2^W)
    root = isqrt((V << z) >> (W - 36))                     in [2^17, 2^18)
    reciprocal = floor((2^34 - 1) / root)                  in [2^16, 2^17)
    places = 8 + W/2 - L - z/2 - epsilon.places

Then ``(16 x - mean) * reciprocal * 2^-places`` is ``(x - mean) / deviation * 2^(12 + epsilon.places) * 2^L / d``,
because root is about ``d * deviation * 2^(z/2 + 18 - W/2)``, and the product about
``(x - mean) / deviation * 2^(20 + W/2 - z/2) / d``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..fixed import bit_length, round_shift, rounded_shift
from ..resources import Resources
from ..serial import Divider, Normalise, SerialUnit, SquareRoot, divide_latency, normalise_latency, root_latency
from ..stream import connect
from .normparameters import Epsilon, EpsilonWord

__all__ = ["MEAN_FRACTION", "RowStatistics", "RowStatisticsSpec", "Statistics"]

MEAN_FRACTION = 4
"""Fraction bits of the mean."""

MEAN_FACTOR_BITS = 21
"""Bits of MEAN: it is 2^20 if d is a power of two, and always below 2^21."""

RADICAND_BITS = 36
"""Bits of V that the square root uses: its result has 18 bits, of which 17 are exact."""

RECIPROCAL_BITS = 17

NUMERATOR = (1 << (RADICAND_BITS // 2 - 1 + RECIPROCAL_BITS)) - 1
"""2^34 - 1 gives the same quotients as 2^34, except by 2^17: there its quotient still has 17 bits."""

NORMALISED_FRACTION = 12
"""Fraction bits of a normalised value, apart from the factor 2^L / d."""

RECIPROCAL_PLACES_BITS = 5

NORMALISED_BITS = 20
"""Width of a normalised value. No value is more than sqrt(d) deviations from the mean, or 1.07 sqrt(d) with the errors
of mean and rounding. Times 2^12 * 2^L / d this is below 2^19 for d up to 4096."""

EPSILON_HEADROOM = 8
"""Bits by which the sum of V and epsilon is wider than V, so that V is below 2^-7 of an epsilon that does not fit.

Rows of more than 1,024 features have fewer, down to 4 (V below 2^-3 of epsilon), because the word of epsilon has 60.
"""


class Statistics(NamedTuple):
    """Mean (4 fraction bits), reciprocal and places of rows, int64 arrays of one shape."""

    mean: np.ndarray
    reciprocal: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RowStatisticsSpec:
    """The statistics of rows of ``features`` signed values of ``input_bits``.

    Raises:
        ValueError: for sizes that the widths do not allow.
    """

    features: int
    input_bits: int

    def __post_init__(self) -> None:
        if not 8 <= self.features <= 4096:
            raise ValueError(f"layer norm features must be 8 to 4096, not {self.features}")
        if not 8 <= self.input_bits <= 18:
            raise ValueError(f"layer norm inputs must have 8 to 18 bits, not {self.input_bits}")

    @property
    def scale_bits(self) -> int:
        """L: the number of features is at most 2^L."""
        return (self.features - 1).bit_length()

    @property
    def sum_bits(self) -> int:
        """Width of a signed sum."""
        return self.input_bits + self.scale_bits

    @property
    def square_bits(self) -> int:
        """Width of an unsigned sum of squares."""
        return (self.features << (2 * self.input_bits - 2)).bit_length()

    @property
    def largest_variance(self) -> int:
        """V without epsilon of a row with half of its values at each end of the range."""
        return (self.features * ((1 << self.input_bits) - 1)) ** 2 // 4

    @property
    def variance_bits(self) -> int:
        """W: even, and wider than V without epsilon by `EPSILON_HEADROOM`, but no wider than the word of epsilon."""
        bits = self.largest_variance.bit_length()
        return max(RADICAND_BITS, min(bits + bits % 2 + EPSILON_HEADROOM, EpsilonWord["value"].width))

    @property
    def largest_epsilon(self) -> int:
        """The largest epsilon whose sum with the largest variance has W bits."""
        return (1 << self.variance_bits) - 1 - self.largest_variance

    def epsilon(self, real: float) -> Epsilon:
        """The parameter for a ``real`` epsilon, in the square of the values' last place; at most `largest_epsilon`.

        The value is rounded to an integer above 0. This changes epsilon by at most 1 / d^2; the rounding of the values
        themselves has a variance of 1/12. No value is further than 2^input_bits from the mean. So if sqrt(value) is at
        least 2^s, no normalised value is above 2^(input_bits + 12 + L - s), and `places` more binary places bring it to
        at most 2^19, for which `NORMALISED_BITS` suffice.
        """
        exact = min(real * self.features**2, float(self.largest_epsilon))
        value = min(max(1, round(exact)), self.largest_epsilon)
        s = (value.bit_length() - 1) // 2
        reach = self.input_bits + NORMALISED_FRACTION + self.scale_bits - s
        return Epsilon(value=value, places=max(0, NORMALISED_BITS - 1 - reach))

    @property
    def mean_factor(self) -> int:
        """MEAN, rounded half up."""
        return ((1 << (MEAN_FACTOR_BITS + self.scale_bits)) // self.features + 1) >> 1

    @property
    def mean_shift(self) -> int:
        """The shift of the product with MEAN that leaves `MEAN_FRACTION` fraction bits."""
        return MEAN_FACTOR_BITS - 1 + self.scale_bits - MEAN_FRACTION

    @property
    def mean_bits(self) -> int:
        """Width of a mean."""
        return self.input_bits + MEAN_FRACTION

    @property
    def greatest_places(self) -> int:
        """The places for z = 0."""
        product_fraction = MEAN_FRACTION + self.variance_bits // 2 + RECIPROCAL_BITS - 1
        return product_fraction - self.scale_bits - NORMALISED_FRACTION

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a row's sums to its statistics."""
        roots = root_latency(RADICAND_BITS) + divide_latency(RECIPROCAL_BITS)
        return self.sum_bits + normalise_latency(self.variance_bits, 2) + roots

    @property
    def resources(self) -> Resources:
        """LUT and FF, as Yosys maps them."""
        wide = self.variance_bits
        moments = self.sum_bits + self.square_bits + self.sum_bits + wide + self.mean_shift + self.mean_bits
        # Sum, difference and normalisation have the width of V; mean, root and quotient depend little on sizes.
        return Resources(lut=7 * wide + 160, ff=moments + wide + 155)

    @property
    def sums(self) -> data.StructLayout:
        """The sums of a complete row."""
        return data.StructLayout({"total": signed(self.sum_bits), "squares": unsigned(self.square_bits)})

    @property
    def layout(self) -> data.StructLayout:
        """The statistics of a row."""
        fields = {
            "mean": signed(self.mean_bits),
            "reciprocal": unsigned(RECIPROCAL_BITS),
            "places": unsigned(RECIPROCAL_PLACES_BITS),
        }
        return data.StructLayout(fields)

    def reference(self, total: np.ndarray, squares: np.ndarray, epsilon: Epsilon) -> Statistics:
        """The statistics of rows of the given sums.

        A row that is not constant has V >= d (if one value differs by 1), so z <= W - L and places >= 8 - L/2. The
        places of a constant row may be below 0 and are given modulo 32, as in the hardware. They do not matter, because
        all values of the row equal the mean, which is then exact.

        Raises:
            ValueError: for an epsilon above `largest_epsilon`.
        """
        if epsilon.value > self.largest_epsilon:
            raise ValueError(f"layer norm epsilon must be 1 to {self.largest_epsilon}, not {epsilon.value}")
        total, squares = np.asarray(total, dtype=np.int64), np.asarray(squares, dtype=np.int64)
        mean = round_shift(total * self.mean_factor, self.mean_shift)
        variance = self.features * squares - total**2 + epsilon.value
        z = (self.variance_bits - bit_length(variance)) // 2 * 2
        radicand = (variance << z) >> (self.variance_bits - RADICAND_BITS)
        root = np.sqrt(radicand).astype(np.int64)  # exact: far below 2^52
        places = self.greatest_places - z // 2 - epsilon.places
        return Statistics(mean, NUMERATOR // root, places % (1 << RECIPROCAL_PLACES_BITS))


class Mean(SerialUnit):
    """``sum * MEAN``, rounded, with one bit of the sum per cycle, the highest first."""

    def __init__(self, spec: RowStatisticsSpec):
        self.spec = spec
        self.steps = spec.sum_bits - 1  # the sign bit is used while the operands are loaded
        total = spec.sums["total"].shape
        super().__init__(
            {"input": In(stream.Signature(total)), "output": Out(stream.Signature(signed(spec.mean_bits)))}
        )
        self._bits = Signal(self.steps, reset_less=True)  # of the sum; the next one is the highest
        self._product = Signal(signed(spec.mean_shift + spec.mean_bits), reset_less=True)

    def load(self, m: Module) -> None:
        total = self.input.payload
        m.d.sync += [self._bits.eq(total), self._product.eq(Mux(total < 0, -self.spec.mean_factor, 0))]

    def step(self, m: Module, remaining: Signal) -> None:
        m.d.sync += [
            self._bits.eq(self._bits << 1),
            self._product.eq((self._product << 1) + Mux(self._bits[-1], self.spec.mean_factor, 0)),
        ]

    def result(self) -> list[Any]:
        return [self.output.payload.eq(rounded_shift(self._product, self.spec.mean_shift))]


class Variance(SerialUnit):
    """``d * squares - sum^2``, with one bit of sum and of d per cycle, the highest first."""

    def __init__(self, spec: RowStatisticsSpec):
        self.spec = spec
        self.steps = spec.sum_bits - 1  # the sign bit is used while the operands are loaded
        result = unsigned(spec.variance_bits)
        super().__init__({"input": In(stream.Signature(spec.sums)), "output": Out(stream.Signature(result))})
        self._sums = Signal(spec.sums, reset_less=True)
        self._bits = Signal(self.steps, reset_less=True)  # of the sum; the next one is the highest
        self._feature = Signal(reset_less=True)  # the step's bit of d
        # Modulo 2^W: V fits, though its two parts may not.
        self._variance = Signal(spec.variance_bits, reset_less=True)

    def load(self, m: Module) -> None:
        sums = self.input.payload
        m.d.sync += [
            self._sums.eq(sums),
            self._bits.eq(sums.total),
            self._variance.eq(Mux(sums.total < 0, sums.total, 0)),
            self._feature.eq(self.spec.features >> (self.steps - 1)),
        ]

    def step(self, m: Module, remaining: Signal) -> None:
        features = Const(self.spec.features << 2, self.steps + 2)  # the next step's bit is at ``remaining``
        m.d.sync += [
            self._bits.eq(self._bits << 1),
            self._feature.eq(features.bit_select(remaining, 1)),
            self._variance.eq(
                (self._variance << 1)
                - Mux(self._bits[-1], self._sums.total, 0)
                + Mux(self._feature, self._sums.squares, 0)
            ),
        ]

    def result(self) -> list[Any]:
        return [self.output.payload.eq(self._variance)]


class RowStatistics(wiring.Component):
    """The statistics of one row at a time: `RowStatisticsSpec.latency` cycles, and one until it takes the next row.

    Members: ``input`` (stream of `RowStatisticsSpec.sums`), ``output`` (stream of `RowStatisticsSpec.layout`),
    ``epsilon`` (`EpsilonWord`, steady from a row's input until its output is taken).
    """

    def __init__(self, spec: RowStatisticsSpec):
        self.spec = spec
        super().__init__(
            {
                "input": In(stream.Signature(spec.sums)),
                "epsilon": In(EpsilonWord),
                "output": Out(stream.Signature(spec.layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.mean = mean = Mean(spec)
        m.submodules.variance = variance = Variance(spec)
        m.submodules.normalise = normalise = Normalise(spec.variance_bits, 2)
        m.submodules.root = root = SquareRoot(RADICAND_BITS)
        m.submodules.divide = divide = Divider(NUMERATOR.bit_length(), RADICAND_BITS // 2, RECIPROCAL_BITS)
        taken = Signal()
        places = Signal.like(self.output.payload.places, name="places", reset_less=True)
        m.d.sync += places.eq(spec.greatest_places - self.epsilon.places - normalise.output.payload.shift[1:])
        connect(m, self.input, variance.input)
        m.d.comb += [
            # Both take the same number of cycles.
            mean.input.valid.eq(self.input.valid),
            mean.input.payload.eq(self.input.payload.total),
            normalise.input.valid.eq(variance.output.valid),
            # One addition between two registers: that of the variance, and that of the normaliser.
            normalise.input.payload.eq(variance.output.payload + self.epsilon.value),
            root.input.valid.eq(normalise.output.valid),
            root.input.payload.eq(normalise.output.payload.value[-RADICAND_BITS:]),
            divide.input.valid.eq(root.output.valid),
            divide.input.payload.numerator.eq(NUMERATOR),
            divide.input.payload.denominator.eq(root.output.payload),
            self.output.valid.eq(divide.output.valid),
            self.output.payload.mean.eq(mean.output.payload),
            self.output.payload.reciprocal.eq(divide.output.payload),
            self.output.payload.places.eq(places),  # known long before the quotient
            # Every unit holds its result until the quotient is taken, since mean and shift are used with it.
            taken.eq(self.output.valid & self.output.ready),
        ]
        m.d.comb += [unit.output.ready.eq(taken) for unit in (mean, variance, normalise, root, divide)]
        return m
