"""Drawing tokens: the likeliest, by probability, by a seed; and what is refused."""

from collections.abc import Sequence

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.reference import Candidates, Decoder, best_candidates
from hdl.model.sample import Sampler, Sampling, generate

from .networks import SMALL_GPT2, quantised

CANDIDATES = Candidates(np.array([7, 3, 9, 1]), np.array([300, 200, 200, -32768]))
UNIT = 0.01


def draws(count: int, **sampling: float) -> list[int]:
    sampler = Sampler(Sampling(**sampling), UNIT)  # type: ignore[arg-type]
    return [sampler.draw(CANDIDATES) for _ in range(count)]


def test_temperature_0_takes_the_likeliest() -> None:
    assert set(draws(20, temperature=0)) == {7}
    assert set(draws(20, temperature=5, top_k=1)) == {7}


def test_probabilities_are_those_of_the_temperature() -> None:
    found = np.array(draws(20_000, temperature=0.5, top_k=4, seed=1))
    weights = np.exp(np.array([3.0, 2.0, 2.0]) / 0.5)
    for token, probability in zip((7, 3, 9), weights / weights.sum(), strict=True):
        assert abs((found == token).mean() - probability) < 0.01
    assert not (found == 1).any()


def test_temperatures_near_0_leave_the_likeliest() -> None:
    assert set(draws(20, temperature=1e-320)) == {7}


def test_the_seed_fixes_what_is_drawn() -> None:
    assert draws(50, seed=3) == draws(50, seed=3) != draws(50, seed=4)


def test_generated_tokens_follow_from_the_texts_before() -> None:
    model = quantised(SMALL_GPT2)
    prompt = [4, 30, 2]
    found = list(
        generate(Decoder(model).offer, prompt, 18, Sampler(Sampling(temperature=0), model.logit_scale), SMALL_GPT2)
    )
    text = list(prompt)
    for token in found:
        assert token == best_candidates(Decoder(model).prefill(text).logits[-1], 1).ids[0]
        text.append(token)
    assert len(found) == 18, "the last needs no position"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -0.5}, "temperature must be 0 to 100 (all candidates are about as likely there), not -0.5"),
        (
            {"temperature": float("nan")},
            "temperature must be 0 to 100 (all candidates are about as likely there), not nan",
        ),
        ({"top_k": 0}, "top-k must be 1 to 64, not 0"),
        ({"top_k": 65}, "top-k must be 1 to 64, not 65"),
        ({"seed": -1}, "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not -1"),
    ],
)
def test_sampling_that_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        Sampling(**change)  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("prompt", "tokens", "message"),
    [
        ([], 1, "text for model 'small' must have at least 1 token, not 0"),
        ([50], 1, "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
        ([0] * 21, 1, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
        ([0], 0, "tokens to generate must be at least 1, not 0"),
        (
            [0] * 3,
            19,
            "text for model 'small' must have at most 20 positions, not 21; "
            "generate at most 18 tokens after this prompt",
        ),
    ],
)
def test_texts_that_are_refused_before_anything_is_computed(prompt: list[int], tokens: int, message: str) -> None:
    def offer(ids: Sequence[int]) -> Candidates:
        raise AssertionError

    with pytest.raises(InputError) as error:
        generate(offer, prompt, tokens, Sampler(Sampling(), UNIT), SMALL_GPT2)
    assert str(error.value) == message
