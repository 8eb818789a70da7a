"""Trains tiny-gpt2 and writes its folder. ``python -m bench.training.tiny_gpt2 --out FOLDER``; the extra `train` has
what it needs.

It took half an hour at low priority on a busy machine of two cores; the same seed gives the same curve there.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jax
import matplotlib
import numpy as np
import optax
from rich.console import Console

from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.safetensors import write_safetensors

from .network import initial, loss, tensors
from .text import CALIBRATION, END, HELD_BACK, chapters, train_tokeniser

SEED = 1
BATCH = 8
PEAK, FLOOR, WARM_UP = 3e-3, 1e-4, 50
"""Learning rates, and the steps from 0 to the first."""
DECAY, CLIP = 0.1, 1.0
EVERY = 50
"""Steps from one line of the curve to the next."""

Curve = list[tuple[int, float, float]]
"""Steps, loss on the text for training since the line before, and on the text held back; nats a token."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write.")
@click.option("--steps", type=click.IntRange(min=WARM_UP + 1), default=500, show_default=True)
def main(out: Path, steps: int) -> None:
    """Train tiny-gpt2."""
    console, spec = Console(stderr=True, highlight=False), load_model("tiny-gpt2")
    books = chapters()
    training = [text for book, texts in books.items() if book not in HELD_BACK for text in texts]
    tokeniser = train_tokeniser(training, spec.vocabulary)
    end = tokeniser.token_to_id(END)

    def stream(texts: list[str]) -> np.ndarray:
        return np.array([token for text in texts for token in (end, *tokeniser.encode(text).ids)], dtype=np.int32)

    held_back = [text for book in HELD_BACK for text in books[book]]
    parameters, curve = train(spec, stream(training), stream(held_back), steps, console)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        write_safetensors(partial / "model.safetensors", tensors(parameters), {"format": "pt"})
        (partial / "config.json").write_text(json.dumps(configuration(spec), indent=2) + "\n")
        tokeniser.save(str(partial / "tokenizer.json"), pretty=False)
        for file, names in (("held_back.txt", HELD_BACK), ("calibration.txt", CALIBRATION)):
            # As the model is fed them: each behind the token that stands before a text.
            (partial / file).write_text("".join(f"{END}{text}\n" for name in names for text in books[name]))
        draw(curve, partial)
        shutil.copytree(partial, out, dirs_exist_ok=True)
    finally:
        shutil.rmtree(partial)


def train(spec: Network, text: np.ndarray, held_back: np.ndarray, steps: int, console: Console) -> tuple[dict, Curve]:
    """Weights and curve after so many steps of AdamW on random windows of the text, under a cosine of the rate."""
    rate = optax.warmup_cosine_decay_schedule(0, PEAK, WARM_UP, steps, FLOOR)
    optimiser = optax.chain(
        optax.clip_by_global_norm(CLIP),
        optax.adamw(rate, b2=0.95, weight_decay=DECAY, mask=lambda tree: jax.tree.map(lambda x: x.ndim > 2, tree)),
    )
    parameters = initial(spec, SEED)
    state = optimiser.init(parameters)

    @jax.jit
    def step(parameters: dict, state: optax.OptState, tokens: jax.Array) -> tuple[dict, optax.OptState, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(parameters, tokens, spec)
        updates, state = optimiser.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    length = spec.max_positions + 1
    judged = held_back[: len(held_back) // length * length].reshape(-1, length)
    console.print(f"{len(text):,} tokens to learn from, {judged.size:,} held back")
    curve: Curve = []
    losses: list[jax.Array] = []
    for number, tokens in zip(range(1, steps + 1), windows(text, length), strict=False):
        parameters, state, value = step(parameters, state, tokens)
        losses.append(value)
        if number % EVERY == 0 or number == steps:
            curve.append((number, float(np.mean(losses)), float(loss(parameters, judged, spec))))
            losses.clear()
            console.print("step {}: loss {:.3f}, held back {:.3f}".format(*curve[-1]))
    return parameters, curve


def windows(text: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Batches [BATCH, length] from random places."""
    generator = np.random.default_rng(SEED)
    while True:
        yield np.stack([text[start : start + length] for start in generator.integers(0, len(text) - length, BATCH)])


def configuration(spec: Network) -> dict:
    """The contents of `config.json`."""
    sizes = {"n_layer": spec.layers, "n_embd": spec.hidden, "n_head": spec.heads, "n_positions": spec.max_positions}
    sizes |= {"n_inner": spec.intermediate, "vocab_size": spec.vocabulary}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": spec.activation,
        "layer_norm_epsilon": spec.norm_eps,
        "bos_token_id": spec.vocabulary - 1,
        "eos_token_id": spec.vocabulary - 1,
    } | sizes


def draw(curve: Curve, folder: Path) -> None:
    """Writes the curve as figures and as a picture."""
    with (folder / "loss.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("step", "training", "held back"), *((n, f"{a:.4f}", f"{b:.4f}") for n, a, b in curve)]
        )
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tiny-gpt2"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    steps, training, held_back = zip(*curve, strict=True)
    axes.plot(steps, training, label="text for training")
    axes.plot(steps, held_back, label="text held back")
    axes.set(xlabel="steps", ylabel="loss, nats a token", title="tiny-gpt2")
    axes.legend()
    figure.savefig(folder / "loss.svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
