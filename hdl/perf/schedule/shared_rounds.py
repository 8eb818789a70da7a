"""Cycles of products that arrays compute together: each array's passes, and the turns in which their sums are taken.

As the hardware of `hdl/kernels/sharing.py` has it: a pass begins when the array's FIFO has room for its sums, a word
enters when its weights and, in the first round, its activations are there; sums leave a beat a cycle, round after
round, in the order of the arrays, and wait where what takes them does.
"""

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from ...kernels.linear import LinearSpec
from ...kernels.shared import SharedColumnsSpec
from .servers import BUFFER, LONG_AGO
from .weight_stream import WeightStream

__all__ = ["Rounds"]


class SharedArray:
    """An array, its weights, and the passes whose sums have not left. ``watch``, where somebody does, is told when
    words enter."""

    watch: Callable[[np.ndarray], None] | None = None

    def __init__(self, unit: LinearSpec, weights: WeightStream):
        self.unit, self.array, self.weights = unit, unit.array, weights
        self.end = LONG_AGO  # of the last pass
        self.left = deque([LONG_AGO] * self.array.passes_in_flight, self.array.passes_in_flight)
        self.taken = deque([LONG_AGO] * 2, 2)  # the last beats that left the buffer behind

    def serve(self, product: int, rows: np.ndarray | None, start: int) -> int:
        """The end of the next pass of a product, whose row's words come at ``rows`` (None: they are there) and whose
        weights are not loaded before ``start``."""
        words = self.unit.product_words[product]
        first = max(self.end, self.left[0]) + 1
        for begin in range(0, words, self.unit.ram_depth):
            count = min(self.unit.ram_depth, words - begin)
            there = self.weights.words(product, count, start)
            if rows is not None:
                there = np.maximum(there, rows[begin : begin + count])
            step = np.arange(count)
            entered = np.maximum(np.maximum.accumulate(there - step), first) + step
            if begin + count == words:
                entered[-1] = max(entered[-1], self.end + self.array.chain)
            self.weights.let_go(entered)
            if self.watch is not None:
                self.watch(entered)
            first = int(entered[-1]) + 1
        self.end = first - 1
        return self.end


class Rounds:
    """Arrays of ``units`` that share products, each with its stream of weights."""

    def __init__(self, spec: SharedColumnsSpec, units: Sequence[LinearSpec], weights: Sequence[WeightStream]):
        self.spec = spec
        self.arrays = [SharedArray(unit, stream) for unit, stream in zip(units, weights, strict=True)]
        self.taken = LONG_AGO  # the last beat of sums that was taken in its turn

    def product(self, number: int, row: int, there: np.ndarray, start: int = LONG_AGO) -> np.ndarray:
        """When each beat of a product's sums is taken by what follows, whose own data are ``there`` for each; the
        row's last beat of activations comes at ``row``. Weights are not loaded before ``start``."""
        spec, product = self.spec, self.spec.products[number]
        beats, found = product.outputs // spec.lanes, list[int]()
        for j in range(ceil(product.outputs / spec.columns)):
            for array in self.arrays:
                rows = None if j else row + array.unit.activation_latency + self._words(array, number)
                sums = array.serve(1 + number, rows, start) + array.array.latency
                self._turn(array, sums, found, beats, there)
        return np.array(found)

    def _words(self, array: SharedArray, number: int) -> np.ndarray:
        """When the words of a row are complete, before its last beat."""
        words = array.unit.product_words[1 + number]
        return (np.arange(words) + 1 - words) * (array.array.depth // self.spec.lanes)

    def _turn(self, array: SharedArray, sums: int, found: list[int], beats: int, there: np.ndarray) -> None:
        """Takes the beats of an array's pass, the first of which is there at ``sums``; those that are kept go on to
        ``found``, until there are ``beats`` of the product."""
        left = LONG_AGO
        for beat in range(array.array.chain):
            left = max(sums + beat, left + 1, array.taken[0] + 1)  # into the buffer of two beats
            self.taken = max(left + BUFFER, self.taken + 1)
            if (place := len(found)) < beats:
                if place > 1:
                    self.taken = max(self.taken, found[-2] + 1)
                found.append(max(self.taken + BUFFER, int(there[place]), found[-1] + 1 if found else LONG_AGO))
            array.taken.append(self.taken)
        array.left.append(left)
