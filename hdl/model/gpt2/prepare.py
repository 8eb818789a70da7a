"""Everything a run of a decoder needs: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Sequence

from ..origin import Origin
from ..prepare import PreparedModel, prepare_with
from ..spec import Gpt2Spec
from ..tokens import Tokens
from ..weightbits import W8, WeightBits
from .checkpoint import load_checkpoint
from .quantise import quantise
from .quantised import QuantisedGpt2
from .weights import Gpt2Weights, random_weights

__all__ = ["prepare"]


def prepare(
    spec: Gpt2Spec,
    origin: Origin,
    *,
    tokens: Tokens | None = None,
    static: bool = False,
    texts: Sequence[str] | None = None,
    weight_bits: WeightBits = W8,
) -> PreparedModel[Gpt2Weights, QuantisedGpt2]:
    """Loads or draws a decoder's weights, as its ``origin`` says, and quantises them on ``texts``: those given, or
    those of the origin. ``tokens``: its tokeniser, where that is loaded already.

    Raises:
        InputError: for files of the origin that do not suit.
    """
    options = {"static": static, "weight_bits": weight_bits}
    return prepare_with(spec, origin, tokens, texts, load_checkpoint, random_weights, quantise, **options)
