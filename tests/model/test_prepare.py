"""Everything that a run needs, on a trained model: its integers say what its float32 weights say."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdl.model import floating, reference
from hdl.model.load import load_model
from hdl.model.origin import Origin
from hdl.model.prepare import Prepared, prepare
from hdl.model.quantised import Quantised
from hdl.model.weights import random_weights
from hdl.notices import Notice

from .checkpoints import BERT, write_model

SENTENCES = (Path(__file__).parents[2] / "bench" / "sentences.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def minilm() -> Prepared:
    return prepare(load_model("minilm-l6"), Origin.of("minilm-l6"))


def real(prepared: Prepared, text: str) -> np.ndarray:
    return prepared.quantised.pooling.of(floating.encode(prepared.tokens.ids(text), prepared.weights))


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


def test_the_first_line_says_which_weights_and_which_tokeniser(tmp_path: Path) -> None:
    write_model(tmp_path, BERT)
    (tmp_path / "calibration.txt").write_text("the cat sat\na dog sat on the mat\n")
    prepared = prepare(BERT, Origin.of(str(tmp_path)))
    assert prepared.trained
    assert prepared.quantised.source == f"weights of {tmp_path / 'model.safetensors'}"
    np.testing.assert_array_equal(prepared.weights.embedding.word, random_weights(BERT, 7).embedding.word)
    assert prepared.told() == (
        f"{tmp_path}: weights of {tmp_path / 'model.safetensors'}; tokeniser {tmp_path / 'tokenizer.json'}; "
        f"calibrated on 2 texts of {tmp_path / 'calibration.txt'}"
    )
    drawn = prepare(BERT, Origin.of(str(tmp_path), random_weights=True))
    assert not drawn.trained
    assert drawn.told().startswith(f"{tmp_path}: random weights, seed 1; tokeniser {tmp_path / 'tokenizer.json'}; ")
    np.testing.assert_array_equal(drawn.weights.embedding.word, random_weights(BERT, 1).embedding.word)


def test_heads_that_are_ignored_are_named(tmp_path: Path) -> None:
    heads = ("pooler.dense.weight", "score.weight", "cls.predictions.bias", "cls.seq_relationship.bias")
    write_model(tmp_path, BERT, **{name: np.zeros(2, dtype=np.float32) for name in heads})
    with pytest.warns(Notice) as told:
        prepare(BERT, Origin.of(str(tmp_path)), texts=["the cat sat"])
    assert [str(one.message) for one in told] == [
        f"{tmp_path / 'model.safetensors'}: the tensors of cls and pooler and score are ignored; "
        "the hardware computes the layers without them"
    ]


@pytest.mark.parametrize(("mode", "of"), [("cls_token", lambda x: x[0]), ("max_tokens", lambda x: x.max(axis=0))])
def test_a_model_that_pools_otherwise(tmp_path: Path, mode: str, of: Callable[[np.ndarray], np.ndarray]) -> None:
    write_model(tmp_path, BERT)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    model = prepare(BERT, Origin.of(str(tmp_path)), texts=["the cat sat on a mat", "the dog"]).quantised
    outputs = reference.run(model, model.embed([1, 7, 3]))[-1]
    np.testing.assert_array_equal(model.pool(outputs), of(model.real(outputs)))
    model.save(tmp_path / "quantised")
    assert Quantised.load(tmp_path / "quantised").pooling == model.pooling


def test_random_weights_say_so() -> None:
    prepared = prepare(load_model("tiny-bert"), Origin.of("tiny-bert", random_weights=True), static=True)
    assert not prepared.trained
    assert prepared.quantised.source == "random weights, seed 1"
    assert min(prepared.quantised.layers[0].limits) > 0
