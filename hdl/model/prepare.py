"""Everything a run needs of a model: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..notices import notify
from .calibration import Calibration, read_calibration
from .checkpoint import Checkpoint, load_checkpoint
from .origin import Origin
from .pooling import read_pooling
from .quantise import quantise
from .quantised import QuantisedBert
from .reader import heads
from .spec import BertSpec, ModelSpec
from .tokens import Tokens, load_tokens
from .weights import BertWeights, random_weights

__all__ = ["Prepared", "PreparedModel", "prepare", "prepare_with"]

SEED = 1
"""Of random weights."""


class _Weights(Protocol):
    @property
    def source(self) -> str: ...


Spec = TypeVar("Spec", bound=ModelSpec)
Weights = TypeVar("Weights", bound=_Weights)
Quantised = TypeVar("Quantised")


@dataclass(frozen=True)
class PreparedModel(Generic[Weights, Quantised]):
    """A model in float32 and in integers, its tokeniser, where it comes from, and what it was calibrated on."""

    weights: Weights
    quantised: Quantised
    tokens: Tokens
    origin: Origin
    calibration: Calibration

    @property
    def trained(self) -> bool:
        """Whether the weights are a checkpoint's, not random."""
        return self.origin.weights is not None

    def told(self) -> str:
        """Which weights, tokeniser and calibration these are, in one line."""
        return f"{self.origin.model}: {self.weights.source}; {self.tokens.source}; {self.calibration}"


Prepared = PreparedModel[BertWeights, QuantisedBert]
"""An encoder."""


def prepare(
    spec: BertSpec,
    origin: Origin,
    *,
    tokens: Tokens | None = None,
    static: bool = False,
    texts: Sequence[str] | None = None,
) -> Prepared:
    """Loads or draws an encoder's weights, as its ``origin`` says, and quantises them on ``texts``: those given, or
    those of the origin. ``tokens``: its tokeniser, where that is loaded already.

    Raises:
        InputError: for files of the origin that do not suit.
    """
    options = {"static": static, "pooling": read_pooling(origin)}
    return prepare_with(spec, origin, tokens, texts, load_checkpoint, random_weights, quantise, **options)


def prepare_with(
    spec: Spec,
    origin: Origin,
    tokens: Tokens | None,
    texts: Sequence[str] | None,
    load: Callable[[Path, Spec], Checkpoint[Weights]],
    draw: Callable[[Spec, int], Weights],
    quantise: Callable[..., Quantised],
    **options: Any,
) -> PreparedModel[Weights, Quantised]:
    """`prepare` for any family: ``load`` reads a checkpoint, ``draw`` makes random weights, ``quantise`` takes weights,
    calibration and ``options``.

    Raises:
        InputError: see `prepare`.
    """
    tokens = tokens or load_tokens(spec, origin)
    calibration = (
        read_calibration(origin) if texts is None else Calibration(texts, f"{len(texts)} texts that were given")
    )
    weights = draw(spec, SEED) if origin.weights is None else _loaded(load, origin.weights, spec, origin.built_in)
    ids = [tokens.ids(text)[: spec.max_positions] for text in calibration.texts]
    quantised = quantise(weights, [own for own in ids if own], **options)
    return PreparedModel(weights, quantised, tokens, origin, calibration)


def _loaded(load: Callable[[Path, Spec], Checkpoint[Weights]], path: Path, spec: Spec, built_in: bool) -> Weights:
    """The weights of a checkpoint. Of a user's it is told which heads are ignored."""
    checkpoint = load(path, spec)
    if checkpoint.ignored and not built_in:
        names = " and ".join(heads(checkpoint.ignored))
        notify(f"{path}: the tensors of {names} are ignored; the hardware computes the layers without them")
    return checkpoint.weights
