"""Everything that a run needs, on trained models: their integers say what their float32 weights say; and other ways to
weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model import floating, reference
from hdl.model.calibration import Calibration
from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin, installed_checkpoint
from hdl.model.perplexity import perplexity, windows
from hdl.model.prepare import Prepared, calibration_ids, prepare
from hdl.model.quantised import Quantised
from hdl.model.quantisedfile import load_quantised, save_quantised
from hdl.model.reference import Decoder
from hdl.model.tokens import load_tokens
from hdl.model.weightbits import W4
from hdl.model.weights import random_weights
from hdl.notices import Notice

from .checkpoints import BERT, GPT2, write_model
from .networks import SMALL_GPT2, bert

SENTENCES = (Path(__file__).parents[2] / "bench" / "sentences.txt").read_text().splitlines()
TINY = load_model("tiny-gpt2")
FOLDER = installed_checkpoint("tiny-gpt2")
assert FOLDER is not None
WINDOWS = 8

FAMILIES = pytest.mark.parametrize("network", [BERT, GPT2], ids=["bert", "gpt2"])


@cache
def minilm() -> Prepared:
    return prepare(load_model("minilm-l6"), Origin.of("minilm-l6"))


def real(prepared: Prepared, text: str) -> np.ndarray:
    return prepared.quantised.pooling.of(floating.encode(prepared.tokens.ids(text), prepared.weights))


def integer(prepared: Prepared, text: str) -> np.ndarray:
    model = prepared.quantised
    return model.pool(reference.run(model, model.embed(prepared.tokens.ids(text)))[-1])


def test_integers_agree_with_float32_on_unseen_sentences() -> None:
    assert minilm().trained
    # Every sixth of those that bench/accuracy measures, and the shortest, which is the hardest.
    cosines = [real(minilm(), text) @ integer(minilm(), text) for text in SENTENCES[::6]]
    assert np.mean(cosines) > 0.998
    assert min(cosines) > 0.995


def test_sentences_of_like_meaning_are_near_each_other() -> None:
    pairs = ["The boy kicked the ball.", "A child plays football."], ["The soup is cold.", "Shares fell on Monday."]
    (near, far) = ([embed(minilm(), one) @ embed(minilm(), other) for embed in (real, integer)] for one, other in pairs)
    assert min(near) > max(far) + 0.3
    np.testing.assert_allclose(near, near[0], atol=0.01)


def in_integers(model: Quantised, texts: list) -> float:
    return perplexity(lambda ids: Decoder(model).prefill(ids).logits * model.logit_scale, texts)


def test_perplexity_in_integers_is_nearly_float32s() -> None:
    prepared = prepare(TINY, Origin.of("tiny-gpt2"))
    assert prepared.trained
    ids = prepared.tokens.ids("".join((FOLDER / "held_back.txt").read_text().splitlines()))
    texts = windows(ids, 257)[:: len(ids) // 257 // WINDOWS]
    expected = perplexity(lambda ids: FloatDecoder(prepared.weights).extend(ids)["logits"], texts)
    assert expected < TINY.vocabulary / 8, "it has learned"
    assert 0.98 * expected < in_integers(prepared.quantised, texts) < 1.02 * expected
    assert in_integers(prepare(TINY, Origin.of("tiny-gpt2"), weight_bits=W4).quantised, texts) < 1.10 * expected


def test_files_of_the_built_in_decoder_belong_together() -> None:
    config = load_model(str(FOLDER))
    assert replace(config, name=TINY.name) == TINY
    tokens = prepare(TINY, Origin.of("tiny-gpt2"), texts=["A text."]).tokens
    text = (FOLDER / "calibration.txt").read_text().splitlines()[0]
    ids = tokens.ids(text)
    assert ids[0] == TINY.vocabulary - 1 == json.loads((FOLDER / "config.json").read_text())["bos_token_id"]
    assert tokens.text(ids) == text.removeprefix("<|endoftext|>")
    steps = np.loadtxt(FOLDER / "loss.csv", delimiter=",", skiprows=1)
    assert (np.diff(steps[:, 0]) > 0).all()
    assert steps[-1, 2] < steps[0, 2]
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 8e6


@FAMILIES
def test_the_first_line_says_which_weights_and_which_tokeniser(tmp_path: Path, network: Network) -> None:
    write_model(tmp_path, network)
    origin = Origin.of(str(tmp_path))
    places = f"{tmp_path}: weights of {tmp_path / 'model.safetensors'}; tokeniser {tmp_path / 'tokenizer.json'}"
    assert prepare(network, origin).told() == f"{places}; calibrated on the project's own English texts"
    (tmp_path / "calibration.txt").write_text("the cat sat\na dog sat on the mat\n")
    prepared = prepare(network, origin)
    assert prepared.trained
    assert prepared.quantised.source == f"weights of {tmp_path / 'model.safetensors'}"
    np.testing.assert_array_equal(prepared.weights.tables["word"], random_weights(network, 7).tables["word"])
    assert prepared.told() == f"{places}; calibrated on 2 texts of {tmp_path / 'calibration.txt'}"
    drawn = prepare(network, Origin.of(str(tmp_path), random_weights=True))
    assert not drawn.trained
    assert drawn.told().startswith(f"{tmp_path}: random weights, seed 1; tokeniser {tmp_path / 'tokenizer.json'}; ")
    np.testing.assert_array_equal(drawn.weights.tables["word"], random_weights(network, 1).tables["word"])


@pytest.mark.parametrize(
    ("network", "heads", "named"),
    [
        (
            BERT,
            ("pooler.dense.weight", "score.weight", "cls.predictions.bias", "cls.seq_relationship.bias"),
            "cls and pooler and score",
        ),
        (GPT2, ("score.weight",), "score"),
    ],
    ids=["bert", "gpt2"],
)
def test_heads_that_are_ignored_are_named(tmp_path: Path, network: Network, heads: tuple[str, ...], named: str) -> None:
    write_model(tmp_path, network, **{name: np.zeros(2, dtype=np.float32) for name in heads})
    with pytest.warns(Notice) as told:
        prepare(network, Origin.of(str(tmp_path)), texts=["the cat sat"])
    assert [str(one.message) for one in told] == [
        f"{tmp_path / 'model.safetensors'}: the tensors of {named} are ignored; "
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
    save_quantised(tmp_path / "quantised", model)
    assert load_quantised(tmp_path / "quantised").pooling == model.pooling


def test_pooling_is_none_of_a_decoders(tmp_path: Path) -> None:
    write_model(tmp_path, GPT2)
    (tmp_path / "modules.json").write_text("damaged")
    assert prepare(GPT2, Origin.of(str(tmp_path)), texts=["the cat sat"]).trained


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", ["tiny-bert", "gpt2"])
def test_random_weights_say_so(name: str, static: bool) -> None:
    network = load_model(name) if name == "tiny-bert" else replace(SMALL_GPT2, vocabulary=256)
    prepared = prepare(network, Origin.of(name, random_weights=True), static=static)
    assert not prepared.trained
    assert prepared.quantised.source == "random weights, seed 1"
    assert prepared.tokens.text(prepared.tokens.ids("Grüße")) == "Grüße"
    assert (min(prepared.quantised.layers[0].limits.values()) > 0) == static


def test_what_no_kernel_takes_is_refused_before_files_are_read(tmp_path: Path) -> None:
    write_model(tmp_path, BERT)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"damaged")
    wide = bert("wide", layers=1, hidden=8192, heads=64, intermediate=8, max_positions=16, vocabulary=8)
    with pytest.raises(InputError) as error:
        prepare(wide, Origin.of(str(tmp_path)))
    assert str(error.value) == ("model 'wide' cannot be quantised: layer norm features must be 8 to 4096, not 8192")


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_texts_as_one_are_calibrated_on_where_positions_count(family: str) -> None:
    sizes = {"layers": 1, "hidden": 16, "heads": 2, "intermediate": 32, "max_positions": 8, "vocabulary": 256}
    network = Network.of("m", family, sizes | {"activation": "silu", "norm_eps": 1e-5})
    tokens = load_tokens(network, Origin.of("tiny-gpt2", random_weights=True))
    tokens = replace(tokens, ids=lambda text: list(text.encode()))
    found = calibration_ids(tokens, Calibration(["first text", "", "more"], "here"), network)
    whole = [b"first te", b"xt\n\nmore"] if family == "llama" else []
    assert [bytes(ids) for ids in found] == [b"first te", b"more", *whole]
