"""Takes a model's tensors out of a checkpoint one by one, each checked, and says what is left over."""

import re
from collections.abc import Callable, Iterable
from math import prod

import numpy as np

from ..errors import InputError
from .architecture import Norm
from .shards import Tensors
from .weights import Dense, NormWeights

__all__ = ["TensorReader", "heads", "without"]

HEADS = re.compile(r"(pooler|cls|classifier|qa_outputs|score|multiple_choice_head|v_head)\.")
"""Names of the tensors of tasks' heads, which a checkpoint of any family may have and hardware does not compute."""


def heads(names: Iterable[str]) -> list[str]:
    """The heads that tensors of these names belong to."""
    return sorted({name.partition(".")[0] for name in names if HEADS.match(name)})


def without(name: str, prefixes: tuple[str, ...]) -> str:
    """A tensor's name without the names of the modules around the plain model, however many are in front of it."""
    while prefix := next((one for one in prefixes if name.startswith(one)), ""):
        name = name.removeprefix(prefix)
    return name


def _same(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a tensor of the shape ``found`` has the numbers of one of the ``shape`` in the same order: dimensions of
    1 do not count, and the last one may be stored as several, as of a convolution over whole patches."""
    own, wanted = (tuple(size for size in one if size > 1) for one in (found, shape))
    return own == wanted or (len(own) > len(wanted) > 1 and own[0] == wanted[0] and prod(own) == prod(wanted))


class TensorReader:
    """Takes tensors out of a file by their names in a plain model, into which ``plain`` turns the file's names.

    ``left``: the names not taken yet, and what the file calls these tensors.

    Raises:
        InputError: for two tensors of one plain name.
    """

    def __init__(self, file: Tensors, plain: Callable[[str], str]):
        self.file = file
        self.left: dict[str, str] = {}
        for name in file.shapes:
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
        found = self.file.shapes[own]
        if not _same(found, shape):
            raise InputError(f"{self.file.path}: tensor {own!r} must be of shape {list(shape)}, not {list(found)}")
        return self.file.floats(own).reshape(shape)

    def dense(self, name: str, outputs: int, inputs: int, *, bias: bool = True, transposed: bool = False) -> Dense:
        """A linear operator whose weights are stored [outputs, inputs], or ``transposed``, perhaps without a ``bias``;
        see `take`."""
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        weight = self.take(f"{name}.weight", *shape)
        own = self.take(f"{name}.bias", outputs) if bias else np.zeros(outputs, dtype=np.float32)
        return Dense(np.ascontiguousarray(weight.T) if transposed else weight, own)

    def norm(self, name: str, norm: Norm) -> NormWeights:
        """A norm's parameters; see `take`."""
        gamma = self.take(f"{name}.weight", norm.factors)
        beta = np.zeros_like(gamma) if norm.root_mean_square else self.take(f"{name}.bias", norm.factors)
        return NormWeights(gamma, beta)

    def rest(self, buffers: re.Pattern[str], model: str) -> tuple[str, ...]:
        """The plain names of the heads' tensors, which were not taken; ``buffers`` may be left over beside them.

        Raises:
            InputError: for a tensor of another name.
        """
        left = [name for name in sorted(self.left) if not buffers.match(name)]
        for name in left:
            if not HEADS.match(name):
                raise InputError(
                    f"{self.file.path}: tensor {self.left[name]!r} is of no use to model {model!r}; "
                    "is it another model's?"
                )
        return tuple(left)
