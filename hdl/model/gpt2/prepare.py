"""Everything a run of a decoder needs: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Sequence
from pathlib import Path

from ..prepare import PreparedModel, prepare_with
from ..spec import Gpt2Spec
from ..weightbits import W8, WeightBits
from .checkpoint import load_checkpoint
from .quantise import quantise
from .quantised import QuantisedGpt2
from .weights import Gpt2Weights, random_weights

__all__ = ["prepare"]


def prepare(
    spec: Gpt2Spec,
    *,
    checkpoint: Path | None = None,
    static: bool = False,
    texts: Sequence[str] | None = None,
    weight_bits: WeightBits = W8,
) -> PreparedModel[Gpt2Weights, QuantisedGpt2]:
    """Loads a decoder's weights, or draws them for one without any, and quantises them on ``texts``: those given, or
    those beside the checkpoint, or the project's own.

    Raises:
        InputError: for a checkpoint that does not suit, or texts that are no use.
    """
    options = {"static": static, "weight_bits": weight_bits}
    return prepare_with(spec, load_checkpoint, random_weights, quantise, checkpoint, texts, **options)
