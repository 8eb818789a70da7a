"""Everything a run needs of a model: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import installed_checkpoint, load_checkpoint
from .quantise import quantise
from .quantised import QuantisedBert
from .spec import BertSpec
from .tokens import Tokens, calibration_texts, load_tokens
from .weights import BertWeights, random_weights

__all__ = ["Prepared", "prepare"]

SEED = 1
"""Of the random weights of models that have no trained ones."""


@dataclass(frozen=True)
class Prepared:
    """A model in float32 and in integers, and its tokeniser."""

    weights: BertWeights
    quantised: QuantisedBert
    tokens: Tokens

    @property
    def trained(self) -> bool:
        """Whether the weights are a checkpoint's, not random."""
        return not self.weights.source.startswith("random")


def prepare(
    spec: BertSpec, *, checkpoint: Path | None = None, static: bool = False, texts: Sequence[str] | None = None
) -> Prepared:
    """Loads the weights, or draws them for a model without any, and quantises them on ``texts`` (or the project's own).

    Raises:
        InputError: for a checkpoint that does not suit, or texts that are no use.
    """
    path = checkpoint or installed_checkpoint(spec.name)
    weights = load_checkpoint(path, spec).weights if path else random_weights(spec, SEED)
    tokens = load_tokens(spec, path if path is None or path.is_dir() else path.parent)
    most = spec.max_positions
    calibration = [ids[:most] for ids in map(tokens.ids, texts or calibration_texts()) if ids]
    return Prepared(weights, quantise(weights, calibration, static=static), tokens)
