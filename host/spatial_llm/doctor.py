"""The doctor: a card is examined step by step, and the first thing that is wrong is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hdl.model import reference
from hdl.model.reference import Decoder, best_candidates

from .accelerator import Accelerator, DecoderAccelerator, EncoderAccelerator, load

__all__ = ["examine"]

TOKENS, CANDIDATES = 4, 8


def examine(
    xclbin: Path, image: Path, text: str, *, index: int = 0, xrt: Any = None, tell: Callable[[str], Any] = print
) -> int:
    """Examines a card; the exit code: 0, or 1 where what it computes is wrong.

    Raises:
        InputError: for files that do not suit, and where there is no ``pyxrt``.
        RunError: for a run that did not end well; its `Code` says why.
    """
    with load(xclbin, image, index=index, xrt=xrt) as accelerator:
        about = accelerator.image.kernel
        tell(f"image: {about['name']}, {len(about['image'])} channels, hash {about['hash']}")
        ids = accelerator.image.tokens.of(text, about["sizes"]["positions"])
        wrong = compare(accelerator, ids)
        tell(f"image in memory: the header and the checksum of each channel are right, hash {about['hash']}")
        tell(f"{len(ids)} tokens, {accelerator.counters()['cycles']:,} cycles: {wrong or 'as the integer reference'}")
        return 1 if wrong else 0


def compare(accelerator: Accelerator, ids: list[int]) -> str | None:
    """What differs first from the integer reference, in words."""
    model = accelerator.image.model
    if isinstance(accelerator, EncoderAccelerator):
        text = model.embed(ids)
        for layer, (output, wanted) in enumerate(
            zip(accelerator.layers(text), reference.run(model, text), strict=True)
        ):
            if not np.array_equal(output, wanted):
                token, feature = np.argwhere(output != wanted)[0]
                return f"layer {layer} differs first, at token {token}, feature {feature}"
        return None
    assert isinstance(accelerator, DecoderAccelerator)
    step, following = Decoder(model), list(ids)
    for number, found in enumerate(accelerator.candidates(ids, TOKENS, CANDIDATES)):
        best = best_candidates(step.prefill(following).logits[-1], CANDIDATES)
        if not (np.array_equal(found.ids, best.ids) and np.array_equal(found.logits, best.logits)):
            return f"the candidates for token {number} after the prompt differ first"
        following = [int(best.ids[0])]
    return None
