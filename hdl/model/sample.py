"""Generating text: the next token is drawn among the candidates that the device offers, by the host or the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..bounds import SEED, TEMPERATURE
from ..errors import InputError
from ..kernels.tokensampler import UNIFORM_BITS, drawn_number, sampling_factor
from .floating import check_tokens
from .network import Network
from .reference import Candidates, check_candidates

__all__ = ["Sampler", "Sampling", "checked_prompt", "generate"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn: among the ``top_k`` likeliest, by their probabilities to the power of 1 / ``temperature``;
    at 0 always the likeliest, the lower id among equals. The ``seed`` fixes what is drawn.

    Raises:
        InputError: for a temperature that is negative or not finite, a top-k outside of 1..64, and a negative seed.
    """

    temperature: float = 1.0
    top_k: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        TEMPERATURE.check(self.temperature)
        check_candidates(self.top_k)
        SEED.check(self.seed)


class Sampler:
    """Draws tokens, one after the other, from candidates whose logits have the given scale, in the integers of
    `TokenSampler`. ``factor`` and ``shift`` are those of the temperature."""

    def __init__(self, sampling: Sampling, logit_scale: float):
        self.sampling = sampling
        self.factor, self.shift = sampling_factor(logit_scale, sampling.temperature)
        self._generator = np.random.default_rng(sampling.seed)

    def uniform(self) -> int:
        """The uniform number for the next token, of 32 bits."""
        return int(self._generator.integers(1 << UNIFORM_BITS))

    def draw(self, candidates: Candidates) -> int:
        """The next token, among the first ``top_k`` of the candidates."""
        logits = candidates.logits[: self.sampling.top_k]
        return int(candidates.ids[drawn_number(logits, self.factor, self.shift, self.uniform())])


def checked_prompt(prompt: Sequence[int], tokens: int, network: Network) -> list[int]:
    """The prompt, behind which ``tokens`` tokens can be drawn.

    Raises:
        InputError: for an empty prompt, ids outside the vocabulary, fewer than 1 token, and more in all than the model
            has positions for.
    """
    ids: list[int] = check_tokens(prompt, network).tolist()
    if tokens < 1:
        raise InputError(f"tokens to generate must be at least 1, not {tokens}")
    # The last token drawn needs no position.
    if (places := len(ids) + tokens - 1) > network.max_positions:
        most = network.max_positions - len(ids) + 1
        raise InputError(
            f"text for model {network.name!r} must have at most {network.max_positions} positions, not {places}; "
            f"generate at most {most} tokens after this prompt"
        )
    return ids


def generate(
    offer: Callable[[Sequence[int]], Candidates], prompt: Sequence[int], tokens: int, sampler: Sampler, network: Network
) -> Iterator[int]:
    """Draws ``tokens`` tokens behind a prompt. ``offer`` gives the candidates behind the next tokens of a text: first
    it gets the prompt, then each token that was drawn. What does not suit is refused at once.

    Raises:
        InputError: see `checked_prompt`.
    """
    ids = checked_prompt(prompt, tokens, network)

    def drawn() -> Iterator[int]:
        following = ids
        for _ in range(tokens):
            following = [sampler.draw(offer(following))]
            yield following[0]

    return drawn()
