"""A decoder's kernel under the driver: the emitted Verilog through its AXI ports alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from spatial_llm.accelerator import DecoderAccelerator
from spatial_llm.doctor import compare
from spatial_llm.kernel import RunError

from hdl.card.session import Code
from hdl.model.reference import Decoder, best_candidates
from hdl.model.sample import Sampler, Sampling, generate

from ..top.decoder.designs import SMALL
from ..top.decoder.simulations import model_of
from .kernels import driven

MODEL = model_of(SMALL)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecoderAccelerator]:
    with driven(SMALL, MODEL, tmp_path_factory.mktemp("kernel")) as (_, accelerator):
        assert isinstance(accelerator, DecoderAccelerator)
        yield accelerator


def likeliest(prompt: Sequence[int], tokens: int, k: int = 1) -> list[list[int]]:
    """The best candidates of the integer reference for each of the tokens after a prompt."""
    step, following, found = Decoder(MODEL), list(prompt), []
    for _ in range(tokens):
        found.append(best_candidates(step.prefill(following).logits[-1], k).ids.tolist())
        following = found[-1][:1]
    return found


@pytest.mark.parametrize("k", [1, 8, 9, 11])
def test_candidates_of_a_run(decoder: DecoderAccelerator, k: int) -> None:
    prompt = [1, 7, 3]
    found = [candidates.ids.tolist() for candidates in decoder.candidates(prompt, 5, k)]
    assert found == likeliest(prompt, 5, k)
    assert decoder.counters()["answers"] == 5


def test_a_stop_token_ends_the_run(decoder: DecoderAccelerator) -> None:
    prompt = [2, 4]
    best = [own[0] for own in likeliest(prompt, 6)]
    stop = best[-1]
    assert list(decoder.ids(prompt, 6, stop=stop)) == best[: best.index(stop) + 1]


@pytest.mark.parametrize("seed", [3, 4])
def test_sampled_tokens_are_the_host_s(decoder: DecoderAccelerator, seed: int) -> None:
    sampling = Sampling(temperature=0.7, top_k=5, seed=seed)
    step = Decoder(MODEL)

    def offer(ids: Sequence[int]) -> object:
        return best_candidates(step.prefill(ids).logits[-1], 5)

    sampler = Sampler(sampling, MODEL.logit_scale)
    expected = list(generate(offer, [1, 2], 5, sampler, MODEL.network))  # type: ignore[arg-type]
    assert list(decoder.ids([1, 2], 5, sampling=sampling)) == expected


@pytest.mark.parametrize(
    ("prompt", "tokens", "k", "code"),
    [([], 1, 1, Code.NO_TOKENS), ([1] * 9, 1, 1, Code.FULL), ([1], 1, 0, Code.BAD_CANDIDATES),
     ([1], 1, 12, Code.BAD_CANDIDATES), ([1], 0, 1, Code.NOTHING_ASKED), ([1, 11], 1, 1, Code.UNKNOWN_TOKEN),
     ([1, 0xFFFF_FFFF], 1, 1, Code.UNKNOWN_TOKEN), ([1, 11 + 16], 1, 1, Code.UNKNOWN_TOKEN)],
)  # fmt: skip
def test_requests_that_are_refused(
    decoder: DecoderAccelerator, prompt: list[int], tokens: int, k: int, code: Code
) -> None:
    with pytest.raises(RunError) as refused:
        list(decoder.candidates(prompt, tokens, k))
    assert refused.value.code is code
    assert [one.ids.tolist() for one in decoder.candidates([5], 2, 3)] == likeliest([5], 2, 3)


def test_a_text_that_fills_all_positions_ends_with_its_tokens(decoder: DecoderAccelerator) -> None:
    found = []
    with pytest.raises(RunError) as refused:
        for candidates in decoder.candidates([1, 2, 3, 4, 5], 100, 2):
            found.append(candidates.ids.tolist())
    assert refused.value.code is Code.FULL
    assert refused.value.report["answers"] == 4


def test_the_doctor_finds_no_fault(decoder: DecoderAccelerator) -> None:
    assert compare(decoder, [1, 2, 3]) is None


def test_the_doctor_names_what_differs(decoder: DecoderAccelerator) -> None:
    tables = decoder.image.model.tables["word"]
    before = tables.copy()
    tables[:] = np.roll(before, 1, axis=0)
    try:
        assert compare(decoder, [1, 2, 3]) == "the candidates for token 0 after the prompt differ first"
    finally:
        tables[:] = before
