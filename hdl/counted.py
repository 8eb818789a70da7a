"""Counters whose tests are registers, so that they take no logic."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["Counted", "Rotation", "Turns"]


class Counted:
    """A count of things that come and go, from 0 to ``most``.

    Attributes: ``count``; ``some``, a register that is high where ``count`` is not 0.
    """

    def __init__(self, name: str, most: int, *, init: int):
        self.count = Signal(range(most + 1), init=init, name=name)
        self.some = Signal(init=init != 0, name=f"{name}_some")

    def step(self, m: Module, *, up: Value, down: Value) -> None:
        """One more where ``up`` is high, one less where ``down`` is; ``down`` only where there are some."""
        several = self.count[1:].any()
        m.d.sync += [
            self.count.eq(self.count + up - down),
            self.some.eq(up | several | (self.some & ~down)),
        ]


class Turns:
    """A counter from 0 to ``period`` - 1, which begins again.

    Attributes: ``count``; ``last``, a register that is high where ``count`` is ``period`` - 1.
    """

    def __init__(self, name: str, period: int):
        self.period = period
        self.count = Signal(range(period), name=name)
        self.last = Signal(init=period == 1, name=f"{name}_last")

    @property
    def last_after(self) -> Value:
        """What ``last`` will be after one turn more."""
        if self.period < 3:
            return Value.cast(~self.last if self.period == 2 else 1)
        return ~self.last & (self.count == self.period - 2)

    def step(self, m: Module, go: Value) -> None:
        """One turn more in each cycle in which ``go`` is high."""
        if self.period > 1:
            with m.If(go):
                m.d.sync += [self.count.eq(Mux(self.last, 0, self.count + 1)), self.last.eq(self.last_after)]

    def restart(self, m: Module) -> None:
        """Begins again with 0; a later statement wins."""
        m.d.sync += [self.count.eq(0), self.last.eq(self.period == 1)]


class Rotation:
    """Several items in turn, over and over, each for a constant number of steps (``counts``).

    Attributes: ``item``, a register of one bit for each item; that of the present item is high.
    """

    def __init__(self, counts: Sequence[int]):
        self.counts = tuple(counts)
        self.item = Signal(len(self.counts), init=1)
        self._left = Signal(range(max(self.counts)), init=self.counts[0] - 1)  # steps of the item after the next one
        self._last = Signal(init=self.counts[0] == 1)

    def step(self, m: Module, go: Value) -> None:
        """One step more in each cycle in which ``go`` is high."""
        following = list(zip(self.item, [*self.counts[1:], self.counts[0]], strict=True))
        with m.If(go & self._last):
            m.d.sync += [
                self.item.eq(self.item.rotate_left(1)),
                self._left.eq(reduce(or_, (Mux(bit, count - 1, 0) for bit, count in following))),
                self._last.eq(Cat(bit for bit, count in following if count == 1).any()),
            ]
        with m.Elif(go):
            m.d.sync += [self._left.eq(self._left - 1), self._last.eq(self._left == 1)]
