"""Everything a run needs of a model: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from .checkpoint import Checkpoint, installed_checkpoint, load_checkpoint
from .quantise import quantise
from .quantised import QuantisedBert
from .spec import BertSpec, ModelSpec
from .tokens import Tokens, calibration_texts, load_tokens
from .weights import BertWeights, random_weights

__all__ = ["Prepared", "PreparedModel", "prepare", "prepare_with"]

SEED = 1
"""Of the random weights of models that have no trained ones."""

CALIBRATION = "calibration.txt"
"""Texts beside a checkpoint that suit it better than the project's own."""


class _Weights(Protocol):
    @property
    def source(self) -> str: ...


Spec = TypeVar("Spec", bound=ModelSpec)
Weights = TypeVar("Weights", bound=_Weights)
Quantised = TypeVar("Quantised")


@dataclass(frozen=True)
class PreparedModel(Generic[Weights, Quantised]):
    """A model in float32 and in integers, and its tokeniser."""

    weights: Weights
    quantised: Quantised
    tokens: Tokens

    @property
    def trained(self) -> bool:
        """Whether the weights are a checkpoint's, not random."""
        return not self.weights.source.startswith("random")


Prepared = PreparedModel[BertWeights, QuantisedBert]
"""An encoder."""


def prepare(
    spec: BertSpec, *, checkpoint: Path | None = None, static: bool = False, texts: Sequence[str] | None = None
) -> Prepared:
    """Loads an encoder's weights, or draws them for one without any, and quantises them on ``texts``: those given, or
    those beside the checkpoint, or the project's own.

    Raises:
        InputError: for a checkpoint that does not suit, or texts that are no use.
    """
    return prepare_with(spec, load_checkpoint, random_weights, quantise, checkpoint, texts, static=static)


def prepare_with(
    spec: Spec,
    load: Callable[[Path, Spec], Checkpoint[Weights]],
    draw: Callable[[Spec, int], Weights],
    quantise: Callable[..., Quantised],
    checkpoint: Path | None,
    texts: Sequence[str] | None,
    **options: Any,
) -> PreparedModel[Weights, Quantised]:
    """`prepare` for any family: ``load`` reads a checkpoint, ``draw`` makes random weights, ``quantise`` takes weights,
    calibration and ``options``.

    Raises:
        InputError: see `prepare`.
    """
    path = checkpoint or installed_checkpoint(spec.name)
    folder = path if path is None or path.is_dir() else path.parent
    weights = load(path, spec).weights if path else draw(spec, SEED)
    tokens = load_tokens(spec, folder)
    if texts is None and folder is not None and (folder / CALIBRATION).is_file():
        texts = (folder / CALIBRATION).read_text().splitlines()
    most = spec.max_positions
    calibration = [ids[:most] for ids in map(tokens.ids, texts or calibration_texts()) if ids]
    return PreparedModel(weights, quantise(weights, calibration, **options), tokens)
