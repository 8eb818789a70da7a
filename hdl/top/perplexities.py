"""Perplexities of a decoder on the user's texts: in float32, and in integers of several formats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from ..errors import InputError
from ..model.calibration import read_calibration
from ..model.floating import FloatDecoder
from ..model.network import Network
from ..model.origin import Origin
from ..model.perplexity import Fit, Logits, compare, windows
from ..model.prepare import calibration_ids, load_weights
from ..model.quantise import check_quantisable, quantise
from ..model.quantised import Quantised
from ..model.reference import Decoder
from ..model.tokens import load_tokens
from ..model.weightbits import WeightBits
from ..textfile import read_text
from .console import Progress

__all__ = ["chosen_parts", "measure", "perplexity_table"]

LENGTH = 512
"""Tokens of a part where the user names no number."""


def chosen_parts(
    network: Network, origin: Origin, texts: Sequence[Path], length: int | None, most: int | None
) -> list[Sequence[int]]:
    """The first parts of each text, at ``most`` so many, as ids of ``length`` tokens.

    Raises:
        InputError: for a model that is no decoder, for numbers that do not suit, and for a text that cannot be read or
            is shorter than a part.
    """
    if not network.causal:
        raise InputError(f"model {network.name!r} must be a decoder, which has a perplexity, not an encoder")
    size = min(LENGTH, network.max_positions) if length is None else length
    if not 2 <= size <= network.max_positions:
        raise InputError(f"length must be 2 to {network.max_positions}, the positions of {network.name!r}, not {size}")
    if most is not None and most < 1:
        raise InputError(f"parts must be at least 1, not {most}")
    tokens, found = load_tokens(network, origin), []
    for path in texts:
        ids = tokens.ids(read_text(path, "text"))
        if len(ids) < size:
            raise InputError(f"text {path} must have at least {size} tokens, not {len(ids)}; choose a smaller --length")
        found += windows(ids, size)[:most]
    return found


def measure(
    network: Network, origin: Origin, parts: Sequence[Sequence[int]], formats: Sequence[WeightBits], progress: Progress
) -> dict[str, Fit]:
    """The fit of float32, and that of each format's integers by its name.

    Raises:
        InputError: for formats that the model cannot have, and for weights that cannot be read or quantised.
    """
    for bits in formats:
        check_quantisable(network, bits)
    progress("loading")
    weights, models = load_weights(network, origin), {}
    if formats:
        calibration = calibration_ids(load_tokens(network, origin), read_calibration(origin), network)
        for bits in formats:
            progress(f"quantising to {bits}")
            models[f"integers, weights of {bits}"] = _logits(quantise(weights, calibration, weight_bits=bits))
    progress("computing the logits of all texts")
    found = compare(lambda ids: FloatDecoder(weights).extend(ids)["logits"], models, parts)
    return {name or "float32": fit for name, fit in found.items()}


def _logits(model: Quantised) -> Logits:
    return lambda ids: np.asarray(Decoder(model).prefill(ids).logits * model.logit_scale)


def perplexity_table(network: Network, parts: Sequence[Sequence[int]], found: dict[str, Fit]) -> Table:
    """The fits beside each other."""
    title = f"{network.name}: {len(parts)} parts of {len(parts[0])} tokens"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "perplexity", "to float32", "divergence", "same first token"):
        table.add_column(name, justify="right" if name else "left")
    first = next(iter(found.values())).perplexity
    for name, fit in found.items():
        others = (f"{fit.perplexity / first:.4f}", f"{fit.divergence:.4f}", f"{fit.agreement:.3f}")
        table.add_row(name, f"{fit.perplexity:.3f}", *(("", "", "") if name == "float32" else others))
    return table
