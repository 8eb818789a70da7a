"""Everything that a run needs, on a trained model: its integers say what its float32 weights say."""

from pathlib import Path

import numpy as np
import pytest

from hdl.model import floating, reference
from hdl.model.checkpoint import installed_checkpoint
from hdl.model.prepare import Prepared, prepare
from hdl.model.spec import load_model

SENTENCES = (Path(__file__).parents[2] / "bench" / "sentences.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def minilm() -> Prepared:
    return prepare(load_model("minilm-l6"))


def real(prepared: Prepared, text: str) -> np.ndarray:
    return floating.pool(floating.encode(prepared.tokens.ids(text), prepared.weights))


def integer(prepared: Prepared, text: str) -> np.ndarray:
    model = prepared.quantised
    return model.pool(reference.run(model, model.embed(prepared.tokens.ids(text)))[-1])


def test_integers_agree_with_float32_on_unseen_sentences(minilm: Prepared) -> None:
    assert minilm.trained
    # Every sixth of those that bench/accuracy measures, and the shortest, which is the hardest.
    cosines = [real(minilm, text) @ integer(minilm, text) for text in SENTENCES[::6]]
    assert np.mean(cosines) > 0.998
    assert min(cosines) > 0.995


def test_sentences_of_like_meaning_are_near_each_other(minilm: Prepared) -> None:
    pairs = ["The boy kicked the ball.", "A child plays football."], ["The soup is cold.", "Shares fell on Monday."]
    (near, far) = ([embed(minilm, one) @ embed(minilm, other) for embed in (real, integer)] for one, other in pairs)
    assert min(near) > max(far) + 0.3
    np.testing.assert_allclose(near, near[0], atol=0.01)


def test_checkpoint_by_path() -> None:
    folder = installed_checkpoint("minilm-l6")
    assert folder is not None
    by_path = prepare(load_model(str(folder)), checkpoint=folder, texts=["A text."])
    assert by_path.trained
    assert by_path.quantised.source == f"weights of {folder / 'model.safetensors'}"


def test_models_without_a_checkpoint_say_so() -> None:
    prepared = prepare(load_model("tiny-bert"), static=True)
    assert not prepared.trained
    assert prepared.quantised.source == "random weights, seed 1"
    assert min(prepared.quantised.layers[0].limits) > 0
