"""What a kernel's spec says of its unit to the floors above, which compose, count and print units of all kinds."""

from collections.abc import Mapping

from .parameters import Block

__all__ = ["UnitSpec"]


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
