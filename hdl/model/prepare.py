"""Everything a run needs of a model: its weights, trained or random, its tokeniser, and its integers."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..notices import notify
from .calibration import Calibration, read_calibration
from .checkpoint import load_checkpoint
from .network import Network
from .origin import Origin
from .pooling import MEAN, read_pooling
from .quantise import check_quantisable, quantise
from .quantised import Quantised
from .reader import heads
from .suited import is_suited
from .tokens import Tokens, load_tokens
from .weightbits import W8, WeightBits
from .weights import Weights, random_weights

__all__ = ["Prepared", "calibration_ids", "load_weights", "prepare"]

SEED = 1
"""Of random weights."""

PART = 512
"""Tokens of a part of all calibration texts as one."""


@dataclass(frozen=True)
class Prepared:
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


def prepare(
    network: Network,
    origin: Origin,
    *,
    tokens: Tokens | None = None,
    static: bool = False,
    texts: Sequence[str] | None = None,
    weight_bits: WeightBits = W8,
) -> Prepared:
    """Loads or draws a model's weights, as its ``origin`` says, and quantises them on ``texts``: those given, or those
    of the origin. ``tokens``: its tokeniser, where that is loaded already.

    Raises:
        InputError: for a network that cannot be quantised, and for files of the origin that do not suit.
    """
    check_quantisable(network, weight_bits)  # before weights are loaded
    # An encoder's output becomes an embedding of the text; a decoder's goes through its head.
    pooling = MEAN if network.causal else read_pooling(origin)
    tokens = tokens or load_tokens(network, origin)
    calibration = (
        read_calibration(origin) if texts is None else Calibration(texts, f"{len(texts)} texts that were given")
    )
    weights, ids = load_weights(network, origin), calibration_ids(tokens, calibration, network)
    quantised = quantise(weights, ids, static=static, pooling=pooling, weight_bits=weight_bits)
    return Prepared(weights, quantised, tokens, origin, calibration)


def calibration_ids(tokens: Tokens, calibration: Calibration, network: Network) -> list[list[int]]:
    """The ids of the texts, each cut to the positions that the model has. Where weights are made fit for integers
    (`suited`), also those of all texts as one, in parts: the ranges of keys depend on positions, and those of first
    tokens are not those of others."""
    ids = [tokens.ids(text)[: network.max_positions] for text in calibration.texts]
    if is_suited(network):
        whole, length = tokens.ids("\n".join(calibration.texts)), min(PART, network.max_positions)
        ids += [whole[start : start + length] for start in range(0, len(whole), length)]
    return [own for own in ids if own]


def load_weights(network: Network, origin: Origin) -> Weights:
    """A model's weights: random ones, or those of a checkpoint. Of a user's it is told which heads are ignored.

    Raises:
        InputError: for files that do not suit.
    """
    if origin.weights is None:
        return random_weights(network, SEED)
    checkpoint = load_checkpoint(origin.weights, network)
    if checkpoint.ignored and not origin.built_in:
        names = " and ".join(heads(checkpoint.ignored))
        notify(f"{origin.weights}: the tensors of {names} are ignored; the hardware computes the layers without them")
    return checkpoint.weights
