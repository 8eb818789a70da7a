"""A small random GPT-2 of the transformers library and what it computes. As a program, it writes the files in golden/,
which the tests are held to where the library is not installed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
PROMPT = 5
"""Tokens of the text that are taken at once, before the others one by one, with the cache."""

TOKENS = (17, 0, 39, 4, 4, 21, 8, 30, 2)


def build(folder: Path, seed: int, *, with_head: bool) -> dict[str, np.ndarray]:
    """Saves a random checkpoint, all of whose tensors count, with a head or without, as the library writes them; and
    gives the last hidden states and the logits of `TOKENS`, at once and with the cache."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, n_positions=24, vocab_size=40, bos_token_id=39, eos_token_id=39)
    model: Any = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        (model if with_head else model.transformer).save_pretrained(folder)
        ids = torch.tensor([TOKENS])
        whole = model(ids, output_hidden_states=True)
        cached, steps = None, []
        for part in (ids[:, :PROMPT], *ids[:, PROMPT:].split(1, dim=1)):
            output = model(part, past_key_values=cached, output_hidden_states=True)
            cached = output.past_key_values
            steps.append(output.logits[0])
        return {
            "hidden": whole.hidden_states[-1][0].numpy(),
            "logits": whole.logits[0].numpy(),
            "steps": torch.cat(steps).numpy(),
        }


def main() -> None:
    """Write the files."""
    outputs = build(GOLDEN, seed=1, with_head=True)
    (GOLDEN / "generation_config.json").unlink(missing_ok=True)
    np.savez(GOLDEN / "outputs.npz", **outputs)


if __name__ == "__main__":
    sys.exit(main())
