"""What a kernel's spec says of its unit to the floors above, which compose, count and print units of all kinds."""

from collections.abc import Mapping

from .arrayspec import ArraySpec
from .parameters import Block

__all__ = ["ArrayUnitSpec", "RowUnitSpec", "UnitSpec"]


class UnitSpec:
    """The spec of a unit that works on tiles of ``rows`` tokens, in beats of ``lanes`` features.

    A kernel overrides the properties in which it differs. Its ``resources`` belong to every spec.
    """

    rows: int
    lanes: int

    @property
    def parameters(self) -> Mapping[str, Block]:
        """The parameters that the unit takes for each layer, by the member that takes them."""
        return {}

    @property
    def order_fields(self) -> tuple[str | int, ...]:
        """The values of the fields of the unit's order: the name of a field of the order of the layer (of the tile, for
        causal attention), or a constant. A unit without fields takes no order."""
        return ()

    @property
    def counts(self) -> Mapping[str, int]:
        """The fields of a layer's order that count tokens in steps of the unit's own, and the tokens of a step."""
        return {}

    @property
    def macs(self) -> int:
        """Multiplications per cycle."""
        return 0

    @property
    def shape(self) -> str:
        """The size of the unit in a few words."""
        return f"{self.rows} x {self.lanes} lanes"

    @property
    def row_cycles(self) -> int:
        """Cycles of a tile in what works row by row, if one tile follows the other; 0 where nothing does."""
        return 0

    @property
    def tile_latency(self) -> int:
        """Cycles that a tile spends in the unit on its way: its latency, and the beats of a unit that needs whole rows
        before its first result. An array's time is counted apart."""
        return 0

    def tile_cycles(self, tokens: int) -> int:
        """Cycles of a tile that sees ``tokens`` tokens, if one tile follows the other."""
        raise NotImplementedError


class RowUnitSpec(UnitSpec):
    """The spec of a unit that has whole rows, of ``beats`` beats, before its first result."""

    @property
    def beats(self) -> int:
        """Beats of a tile."""
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of a tile's last beat to that of its first result."""
        raise NotImplementedError

    def cycles(self) -> int:
        """Cycles per tile, if one tile follows the other."""
        raise NotImplementedError

    @property
    def row_cycles(self) -> int:
        return self.cycles()

    @property
    def tile_latency(self) -> int:
        return self.latency + self.beats

    def tile_cycles(self, tokens: int) -> int:
        return self.cycles()


class ArrayUnitSpec(UnitSpec):
    """The spec of a unit around a systolic ``array``."""

    @property
    def array(self) -> ArraySpec:
        """The systolic array inside."""
        raise NotImplementedError

    @property
    def macs(self) -> int:
        return self.array.macs

    @property
    def shape(self) -> str:
        return self.array.shape
