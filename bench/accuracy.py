"""What the integers cost: sentence embeddings of all-MiniLM-L6 against float32. ``python -m bench.accuracy``."""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hdl.model import floating, reference
from hdl.model.calibration import calibration_texts
from hdl.model.load import load_model
from hdl.model.origin import Origin
from hdl.model.prepare import prepare
from hdl.model.quantise import quantise
from hdl.model.quantised import Quantised

SENTENCES = Path(__file__).with_name("sentences.txt").read_text().splitlines()
"""English of 4 to 121 tokens, written for this project, none of which calibration sees."""

GOAL = {"mean": 0.998, "min": 0.995}
"""The least cosines with rows quantised by their own maxima."""


def main() -> int:
    """Prints the table; 1 where the goal is missed."""
    console = Console(highlight=False, width=110)
    prepared = prepare(load_model("minilm-l6"), Origin.of("minilm-l6"))
    texts = [prepared.tokens.ids(text) for text in SENTENCES]
    calibration = [prepared.tokens.ids(text) for text in calibration_texts()]
    expected = [prepared.quantised.pooling.of(floating.encode(ids, prepared.weights)) for ids in texts]

    def cosines(model: Quantised) -> np.ndarray:
        outputs = [model.pool(reference.run(model, model.embed(ids))[-1]) for ids in texts]
        return np.array([output @ own for output, own in zip(outputs, expected, strict=True)])

    def quantised(**options: bool) -> np.ndarray:
        return cosines(quantise(prepared.weights, calibration, **options))

    variants = {
        "each row by its own maximum": (found := cosines(prepared.quantised)),
        "the same, features not balanced": quantised(balance=False),
        "fixed ranges (static)": quantised(static=True),
    }
    table = Table(title=f"Cosine of embeddings, integers and float32, {len(texts)} sentences", title_justify="left")
    table.add_column("rows quantised")
    for name in ("mean", "min", "hardest sentence"):
        table.add_column(name, justify="left" if name.startswith("hardest") else "right")
    for name, values in variants.items():
        table.add_row(name, f"{values.mean():.4f}", f"{values.min():.4f}", SENTENCES[int(values.argmin())])
    table.add_section()
    table.add_row("goal", f"{GOAL['mean']:.4f}", f"{GOAL['min']:.4f}", "")
    console.print(table)
    return int(found.mean() < GOAL["mean"] or found.min() < GOAL["min"])


if __name__ == "__main__":
    sys.exit(main())
