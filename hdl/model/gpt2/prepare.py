"""Everything a run of a decoder needs: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import installed_checkpoint
from ..prepare import SEED
from ..spec import Gpt2Spec
from ..tokens import Tokens, calibration_texts, load_tokens
from .checkpoint import load_checkpoint
from .quantise import quantise
from .quantised import QuantisedGpt2
from .weights import Gpt2Weights, random_weights

__all__ = ["Prepared", "prepare"]

CALIBRATION = "calibration.txt"
"""Texts beside a checkpoint that suit it better than the project's own."""


@dataclass(frozen=True)
class Prepared:
    """A model in float32 and in integers, and its tokeniser."""

    weights: Gpt2Weights
    quantised: QuantisedGpt2
    tokens: Tokens

    @property
    def trained(self) -> bool:
        """Whether the weights are a checkpoint's, not random."""
        return not self.weights.source.startswith("random")


def prepare(
    spec: Gpt2Spec,
    *,
    checkpoint: Path | None = None,
    static: bool = False,
    texts: Sequence[str] | None = None,
    weight_bits: int = 8,
) -> Prepared:
    """Loads the weights, or draws them for a model without any, and quantises them on ``texts``: those given, or those
    beside the checkpoint, or the project's own.

    Raises:
        InputError: for a checkpoint that does not suit, or texts that are no use.
    """
    path = checkpoint or installed_checkpoint(spec.name)
    folder = path if path is None or path.is_dir() else path.parent
    weights = load_checkpoint(path, spec).weights if path else random_weights(spec, SEED)
    tokens = load_tokens(spec, folder)
    if texts is None and folder is not None and (folder / CALIBRATION).is_file():
        texts = (folder / CALIBRATION).read_text().splitlines()
    most = spec.max_positions
    calibration = [ids[:most] for ids in map(tokens.ids, texts or calibration_texts()) if ids]
    return Prepared(weights, quantise(weights, calibration, static=static, weight_bits=weight_bits), tokens)
