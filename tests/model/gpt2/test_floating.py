"""GPT-2 in float32 is that of the transformers library, at once and with the cache."""

from pathlib import Path

import numpy as np
import pytest
from hdl.model.gpt2.checkpoint import load_checkpoint

from hdl.errors import InputError
from hdl.model.floating import FloatDecoder, gelu
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.weights import random_weights

from .networks import SMALL, texts
from .transformers_model import GOLDEN, PROMPT, TOKENS, build


def assert_agrees(folder: Path, expected: dict[str, np.ndarray]) -> None:
    """What the library computed with the checkpoint in a folder is what this project does."""
    weights = load_checkpoint(folder / "model.safetensors", load_model(str(folder), Network)).weights
    decoder = FloatDecoder(weights)
    hidden = decoder.extend(TOKENS)
    np.testing.assert_allclose(hidden, expected["hidden"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(decoder.logits(hidden), expected["logits"], rtol=1e-4, atol=1e-4)
    decoder = FloatDecoder(weights)
    parts = [TOKENS[:PROMPT], *([token] for token in TOKENS[PROMPT:])]
    steps = np.concatenate([decoder.logits(decoder.extend(part)) for part in parts])
    np.testing.assert_allclose(steps, expected["steps"], rtol=1e-4, atol=1e-4)
    assert decoder.tokens == len(TOKENS)


def test_what_transformers_computed_once() -> None:
    assert_agrees(GOLDEN, dict(np.load(GOLDEN / "outputs.npz")))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("seed", [2, 3])
def test_what_transformers_computes_now(tmp_path: Path, seed: int, with_head: bool) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert_agrees(tmp_path, build(tmp_path, seed, with_head=with_head))


def test_parts_of_any_length_are_the_whole() -> None:
    weights = random_weights(SMALL, 3)
    (ids,) = texts(SMALL, [20])
    whole, parts = FloatDecoder(weights), FloatDecoder(weights)
    expected = whole.logits(whole.extend(ids))
    found = np.concatenate([parts.logits(parts.extend(part)) for part in (ids[:7], ids[7:8], ids[8:])])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_gelu_has_the_published_values() -> None:
    # Of the tanh form; the exact GELU gives 0.8413447 and -0.0036373.
    np.testing.assert_allclose(gelu(np.array([1.0, -3.0, 0.0])), [0.8411920, -0.0036374, 0.0], atol=1e-7)


@pytest.mark.parametrize(
    ("taken", "ids", "message"),
    [
        (0, [], "text for model 'small' must have at least 1 token, not 0"),
        (0, [50], "token ids for model 'small' must be 0..49, not 50; is it another tokeniser's?"),
        (0, [3, -1], "token ids for model 'small' must be 0..49, not -1; is it another tokeniser's?"),
        (0, [0] * 21, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
        (15, [0] * 6, "text for model 'small' must have at most 20 tokens, not 21; shorten it"),
    ],
)
def test_tokens_that_do_not_suit(taken: int, ids: list[int], message: str) -> None:
    decoder = FloatDecoder(random_weights(SMALL, 1))
    if taken:
        decoder.extend([0] * taken)
    with pytest.raises(InputError) as error:
        decoder.extend(ids)
    assert str(error.value) == message
    assert decoder.tokens == taken, "nothing was taken"
