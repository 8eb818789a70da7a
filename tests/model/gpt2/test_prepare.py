"""tiny-gpt2 as it comes with the project: trained, and nearly as good in integers; and other ways to weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin, installed_checkpoint
from hdl.model.perplexity import perplexity, windows
from hdl.model.prepare import prepare
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder
from hdl.model.weightbits import W4
from hdl.model.weights import random_weights
from hdl.notices import Notice

from ..checkpoints import GPT2, write_model
from .networks import SMALL

TINY = load_model("tiny-gpt2")
FOLDER = installed_checkpoint("tiny-gpt2")
assert FOLDER is not None
BUILT_IN = Origin.of("tiny-gpt2")
WINDOWS = 8


def in_integers(model: Quantised, texts: list) -> float:
    return perplexity(lambda ids: Decoder(model).prefill(ids).logits * model.logit_unit, texts)


def test_perplexity_in_integers_is_nearly_float32s() -> None:
    prepared = prepare(TINY, BUILT_IN)
    assert prepared.trained
    ids = prepared.tokens.ids("".join((FOLDER / "held_back.txt").read_text().splitlines()))
    texts = windows(ids, 257)[:: len(ids) // 257 // WINDOWS]
    decoders = [FloatDecoder(prepared.weights) for _ in texts]
    expected = perplexity(lambda ids: (decoder := decoders.pop()).logits(decoder.extend(ids)), texts)
    assert expected < TINY.vocabulary / 8, "it has learned"
    assert 0.98 * expected < in_integers(prepared.quantised, texts) < 1.02 * expected
    assert in_integers(prepare(TINY, BUILT_IN, weight_bits=W4).quantised, texts) < 1.10 * expected


def test_its_files_belong_together() -> None:
    config = load_model(str(FOLDER), Network)
    assert replace(config, name=TINY.name) == TINY
    tokens = prepare(TINY, BUILT_IN, texts=["A text."]).tokens
    text = (FOLDER / "calibration.txt").read_text().splitlines()[0]
    ids = tokens.ids(text)
    assert ids[0] == TINY.vocabulary - 1 == json.loads((FOLDER / "config.json").read_text())["bos_token_id"]
    assert tokens.text(ids) == text.removeprefix("<|endoftext|>")
    steps = np.loadtxt(FOLDER / "loss.csv", delimiter=",", skiprows=1)
    assert (np.diff(steps[:, 0]) > 0).all()
    assert steps[-1, 2] < steps[0, 2]
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 8e6


def test_weights_and_tokeniser_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-gpt2"
    write_model(folder, GPT2)
    prepared = prepare(GPT2, Origin.of(str(folder)))
    assert prepared.trained
    np.testing.assert_array_equal(prepared.weights.word, random_weights(GPT2, 7).word)
    assert prepared.told() == (
        f"{folder}: weights of {folder / 'model.safetensors'}; tokeniser {folder / 'tokenizer.json'}; "
        "calibrated on the project's own English texts"
    )


def test_heads_that_are_ignored_are_named(tmp_path: Path) -> None:
    write_model(tmp_path, GPT2, **{"score.weight": np.zeros(2, dtype=np.float32)})
    with pytest.warns(Notice) as told:
        prepare(GPT2, Origin.of(str(tmp_path)), texts=["the cat sat"])
    assert [str(one.message) for one in told] == [
        f"{tmp_path / 'model.safetensors'}: the tensors of score are ignored; "
        "the hardware computes the layers without them"
    ]


@pytest.mark.parametrize("static", [False, True])
def test_random_weights_say_so(static: bool) -> None:
    prepared = prepare(replace(SMALL, vocabulary=256), Origin.of("gpt2", random_weights=True), static=static)
    assert not prepared.trained
    assert prepared.quantised.source == "random weights, seed 1"
    assert prepared.tokens.text(prepared.tokens.ids("Grüße")) == "Grüße"
    assert (min(prepared.quantised.layers[0].limits) > 0) == static
