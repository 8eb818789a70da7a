"""What is to be computed, and what is asked of the design that computes it."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Self

from ..bounds import CLOCK, SEQUENCES
from ..errors import InputError
from ..model.network import Network
from ..model.weightbits import W8, WeightBits
from .device import Device

__all__ = ["MAX_LENGTH", "OUTPUT", "TILES", "Workload", "check_tile"]

MAX_LENGTH = 512
"""The longest sequence where no length is given, if the model has so many positions."""

OUTPUT = 64
"""Tokens that are generated where no number is given, if the model has so many positions left."""

TILES = (2, 4, 8)
"""Tokens a tile can have."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """``prompt`` and ``output`` tokens of each of ``sequences``; an encoder has no output.

    ``held``: sequences whose keys and values are in memory, where they are more than those in flight.
    ``weight_bits`` in memory, by product. ``tile``: tokens that the design works on at once, and ``clock_mhz``: its
    clock; where they are None, the best tile and the clock of the device.
    """

    prompt: int
    output: int
    sequences: int = 1
    held: int = 1
    weight_bits: WeightBits = W8
    tile: int | None = None
    clock_mhz: float | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        *,
        prompt: int = 128,
        output: int | None = None,
        sequences: int = 1,
        held: int = 1,
        weight_bits: int | WeightBits = W8,
        tile: int | None = None,
        clock_mhz: float | None = None,
    ) -> Self:
        """The workload of these figures; a decoder has `OUTPUT` tokens of output if no number is given.

        Raises:
            InputError: for a figure that is out of range, or does not suit the network.
        """
        if output is None:
            output = min(OUTPUT, max(0, network.max_positions - prompt)) if network.causal else 0
        if output and not network.causal:
            raise InputError(f"output of model {network.name!r}, an encoder, must be 0 tokens, not {output}")
        if prompt < 1:
            raise InputError(f"prompt must be at least 1 token, not {prompt}")
        if output < 0:
            raise InputError(f"output must be at least 0 tokens, not {output}")
        if prompt + output > network.max_positions:
            raise InputError(
                f"prompt and output of model {network.name!r} must be at most its {network.max_positions} positions, "
                f"not {prompt + output}"
            )
        SEQUENCES.check(sequences)
        bits = weight_bits if isinstance(weight_bits, WeightBits) else WeightBits.of(weight_bits)
        bits.check(network.products, causal=network.causal)
        if tile is not None:
            check_tile(tile)
        if clock_mhz is not None:
            CLOCK.check(clock_mhz)
        return cls(
            prompt=prompt, output=output, sequences=sequences, held=max(sequences, held), weight_bits=bits, tile=tile,
            clock_mhz=clock_mhz,
        )  # fmt: skip

    @classmethod
    def up_to(
        cls,
        network: Network,
        max_length: int | None = None,
        *,
        weight_bits: WeightBits = W8,
        tile: int | None = None,
        clock_mhz: float | None = None,
    ) -> Self:
        """The workload where only the longest sequence is known: an encoder's is of that length, and a decoder's is
        half prompt and half output.

        Raises:
            InputError: as `of`.
        """
        if max_length is None:
            max_length = min(MAX_LENGTH, network.max_positions)
        if not 1 <= max_length <= network.max_positions:
            raise InputError(
                f"max-length must be 1 to {network.max_positions}, the positions of model {network.name!r}, "
                f"not {max_length}"
            )
        prompt = ceil(max_length / 2) if network.causal else max_length
        return cls.of(
            network, prompt=prompt, output=max_length - prompt, weight_bits=weight_bits, tile=tile, clock_mhz=clock_mhz
        )

    @property
    def length(self) -> int:
        """Tokens of a sequence when all of its output is generated."""
        return self.prompt + self.output

    def lasting(self, prompt: int, output: int) -> Self:
        """The same with other lengths."""
        return replace(self, prompt=prompt, output=output)

    def as_dict(self) -> dict[str, Any]:
        """All of it that is asked for, for JSON; weights by the least of their bits."""
        own = ("prompt", "output", "sequences", "tile", "clock_mhz")
        return {"weight_bits": self.weight_bits.bits} | {name: getattr(self, name) for name in own}

    def clocked(self, device: Device) -> Device:
        """The device at the clock of the workload."""
        return device if self.clock_mhz is None else device.model_copy(update={"clock_mhz": self.clock_mhz})


def check_tile(tile: int) -> None:
    """Refuses other sizes of a tile than `TILES`.

    Raises:
        InputError: with those that there are.
    """
    if tile not in TILES:
        raise InputError(f"tile must be {', '.join(map(str, TILES[:-1]))} or {TILES[-1]} tokens, not {tile}")
