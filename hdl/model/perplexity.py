"""How well a decoder predicts a text."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

__all__ = ["perplexity", "windows"]


def windows(token_ids: Sequence[int], length: int) -> list[Sequence[int]]:
    """Consecutive parts of a text, all of ``length`` tokens; what is left over is left out."""
    return [token_ids[start : start + length] for start in range(0, len(token_ids) - length + 1, length)]


def perplexity(logits: Callable[[Sequence[int]], np.ndarray], texts: Iterable[Sequence[int]]) -> float:
    """The exponential of the mean negative log likelihood of each token of the texts but their first, given those
    before. ``logits`` gives those [tokens, vocabulary] behind each token of a text, in nats."""
    losses = []
    for token_ids in texts:
        found = np.asarray(logits(token_ids[:-1]), dtype=np.float64)
        found = found - found.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(found, np.asarray(token_ids[1:])[:, np.newaxis], axis=1)[:, 0]
        losses.append(np.log(np.exp(found).sum(axis=1)) - chosen)
    return float(np.exp(np.concatenate(losses).mean()))
