"""Takes a model's tensors out of a checkpoint one by one, each checked, and says what is left over."""

import re
from collections.abc import Callable

import numpy as np

from ..errors import InputError
from .safetensors import SafeTensors
from .weights import Dense, Norm

__all__ = ["TensorReader"]


class TensorReader:
    """Takes tensors out of a file by their names in a plain model, into which ``plain`` turns the file's names.

    ``left``: the names not taken yet, and what the file calls these tensors.

    Raises:
        InputError: for two tensors of one plain name.
    """

    def __init__(self, file: SafeTensors, plain: Callable[[str], str]):
        self.file = file
        self.left: dict[str, str] = {}
        for name in file.entries:
            own = plain(name)
            if own in self.left:
                raise InputError(f"{file.path}: tensors {self.left[own]!r} and {name!r} must not be there both")
            self.left[own] = name

    def take(self, name: str, *shape: int) -> np.ndarray:
        """A tensor in float32.

        Raises:
            InputError: where it is not there, or not of the given shape, or not finite.
        """
        if name not in self.left:
            raise InputError(f"{self.file.path} lacks the tensor {name!r}; is it another model's?")
        own = self.left.pop(name)
        found = self.file.entries[own].shape
        if found != shape:
            raise InputError(f"{self.file.path}: tensor {own!r} must be of shape {list(shape)}, not {list(found)}")
        return self.file.floats(own)

    def dense(self, name: str, outputs: int, inputs: int) -> Dense:
        """A linear operator whose weights are stored [outputs, inputs]; see `take`."""
        return Dense(self.take(f"{name}.weight", outputs, inputs), self.take(f"{name}.bias", outputs))

    def norm(self, name: str, features: int) -> Norm:
        """A LayerNorm's parameters; see `take`."""
        return Norm(self.take(f"{name}.weight", features), self.take(f"{name}.bias", features))

    def rest(self, benign: re.Pattern[str], model: str) -> tuple[str, ...]:
        """The plain names of the tensors that were not taken.

        Raises:
            InputError: for one whose name is not ``benign``.
        """
        for name in sorted(self.left):
            if not benign.match(name):
                raise InputError(
                    f"{self.file.path}: tensor {self.left[name]!r} is of no use to model {model!r}; "
                    "is it another model's?"
                )
        return tuple(sorted(self.left))
