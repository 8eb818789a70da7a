"""What the integers cost a decoder: perplexity of tiny-gpt2 on text that it never saw, against float32; how near its
last hidden state is at the size of gpt2. ``python -m bench.perplexity``."""

import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model.floating import FloatDecoder
from hdl.model.load import load_model
from hdl.model.origin import Origin, installed_checkpoint
from hdl.model.perplexity import perplexity, windows
from hdl.model.prepare import prepare
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised
from hdl.model.reference import Decoder
from hdl.model.weightbits import W4, WeightBits
from hdl.model.weights import random_weights

MOST = {"W8A8": 1.02, "W4A8": 1.10, "W4A8, the head W8": 1.10}
"""How many times float32's the perplexity may be."""

LEAST_COSINE = 0.99
TOKENS = 24
"""Of each text at the size of gpt2."""


def main() -> int:
    """Prints the tables; 1 where a goal is missed."""
    console = Console(highlight=False, width=110)
    return int(not all([_perplexity(console), _full_size(console)]))


def _perplexity(console: Console) -> bool:
    spec, folder = load_model("tiny-gpt2"), installed_checkpoint("tiny-gpt2")
    assert folder is not None
    origin = Origin.of("tiny-gpt2")
    prepared = prepare(spec, origin)
    text = "".join((folder / "held_back.txt").read_text().splitlines())
    texts = windows(prepared.tokens.ids(text), spec.max_positions + 1)
    weights = prepared.weights

    def float_logits(ids: Sequence[int]) -> np.ndarray:
        return FloatDecoder(weights).extend(ids)["logits"]

    def of(model: Quantised) -> float:
        return perplexity(lambda ids: Decoder(model).prefill(ids).logits * model.logit_scale, texts)

    expected = perplexity(float_logits, texts)
    found = {
        "W8A8": of(prepared.quantised),
        "W8A8, fixed ranges (static)": of(prepare(spec, origin, static=True).quantised),
        "W4A8": of(prepare(spec, origin, weight_bits=W4).quantised),
        "W4A8, the head W8": of(prepare(spec, origin, weight_bits=WeightBits.of(4, ["head"])).quantised),
    }
    tokens = sum(len(part) - 1 for part in texts)
    table = Table(title=f"Perplexity of tiny-gpt2, {tokens:,} tokens held back", title_justify="left")
    for name in ("", "perplexity", "to float32", "at most"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("float32", f"{expected:.3f}", "", "")
    for name, value in found.items():
        table.add_row(name, f"{value:.3f}", f"{value / expected:.4f}", f"{MOST[name]:.2f}" if name in MOST else "")
    console.print(table)
    return all(found[name] <= most * expected for name, most in MOST.items())


def _full_size(console: Console) -> bool:
    spec = load_model("gpt2")
    table = Table(
        title=f"gpt2, random weights, W8A8 and float32: least cosine of {TOKENS} tokens", title_justify="left"
    )
    for name in ("seed", "last hidden state", "logits"):
        table.add_column(name, justify="right")
    near = True
    for seed in (1, 2):
        weights, generator = random_weights(spec, seed), np.random.default_rng(seed)
        *calibration, ids = generator.integers(0, spec.vocabulary, (5, TOKENS)).tolist()
        model = quantise(weights, calibration)
        assert model.head is not None
        step, real = Decoder(model).prefill(ids), FloatDecoder(weights).extend(ids)
        cosines = [_cosine(step.head[name] * model.head.scales[name], real[name]).min() for name in ("norm", "logits")]
        near &= cosines[0] >= LEAST_COSINE
        table.add_row(str(seed), *(f"{cosine:.5f}" for cosine in cosines))
    console.print(table)
    return near


def _cosine(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each row."""
    product = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return np.asarray((found * expected).sum(axis=1) / product)


if __name__ == "__main__":
    sys.exit(main())
