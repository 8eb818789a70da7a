"""How well a decoder predicts a text, and how near its predictions are to those of float32."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "Logits", "compare", "perplexity", "windows"]

Logits = Callable[[Sequence[int]], np.ndarray]
"""Gives the logits [tokens, vocabulary] behind each token of a text, in nats."""


def windows(token_ids: Sequence[int], length: int) -> list[Sequence[int]]:
    """Consecutive parts of a text, all of ``length`` tokens; what is left over is left out."""
    return [token_ids[start : start + length] for start in range(0, len(token_ids) - length + 1, length)]


def perplexity(logits: Logits, texts: Iterable[Sequence[int]]) -> float:
    """The exponential of the mean negative log likelihood of each token of the texts but their first, given those
    before."""
    return compare(logits, {}, texts)[""].perplexity


@dataclass(frozen=True)
class Fit:
    """Over the tokens of some texts: the ``perplexity``; the mean Kullback-Leibler ``divergence`` of predictions from
    those of the reference, in nats; and the share of tokens for which both have the same likeliest one
    (``agreement``)."""

    perplexity: float
    divergence: float
    agreement: float


def compare(reference: Logits, others: Mapping[str, Logits], texts: Iterable[Sequence[int]]) -> dict[str, Fit]:
    """The fit of the ``reference``, under the name "", and of the ``others``, on all tokens of the texts but their
    first."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("", *others)}
    for token_ids in texts:
        expected = _log_probabilities(reference(token_ids[:-1]))
        for name, logits in {"": None, **others}.items():
            own = expected if logits is None else _log_probabilities(logits(token_ids[:-1]))
            loss = -np.take_along_axis(own, np.asarray(token_ids[1:])[:, np.newaxis], axis=1)[:, 0]
            divergence = (np.exp(expected) * (expected - own)).sum(axis=1)
            found[name].append(np.stack([loss, divergence, own.argmax(axis=1) == expected.argmax(axis=1)]))
    means = {name: np.concatenate(parts, axis=1).mean(axis=1).tolist() for name, parts in found.items()}
    return {name: Fit(float(np.exp(loss)), divergence, same) for name, (loss, divergence, same) in means.items()}


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
