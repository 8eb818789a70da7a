"""A memory image on disk, as the command `image` of `spatial-llm` wrote it."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hdl.card.image import IMAGE
from hdl.errors import InputError
from hdl.model.quantised import Quantised
from hdl.model.quantisedfile import FOREIGN, load_quantised
from hdl.model.safetensors import SafeTensors
from hdl.model.tokens import Tokens, tokens_of_text

__all__ = ["Image"]

PIECE = 1 << 18
"""Beats that are read at a time: 16 MB."""


class Image:
    """A memory image. ``kernel``: the description of the kernel that it is for.

    Raises:
        InputError: for a file that is no memory image.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = SafeTensors(path)
        if IMAGE not in self._file.metadata:
            raise InputError(f"{path} must be a memory image; make it with: spatial-llm image --model MODEL --out FILE")
        self.kernel: Mapping[str, Any] = json.loads(self._file.metadata[IMAGE])

    def channel(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """The channel piece by piece: the byte at which each begins, and its beats, uint8 [n, 64]."""
        for first, piece in self._file.pieces(f"{FOREIGN}{name}", PIECE):
            yield first * piece.shape[1], piece

    @cached_property
    def model(self) -> Quantised:
        """The quantised model."""
        return load_quantised(self.path)

    @cached_property
    def tokens(self) -> Tokens:
        """The model's tokeniser.

        Raises:
            InputError: where the image has none.
        """
        text = self.kernel["tokeniser"]
        if text is None:
            raise InputError(f"{self.path} must have a tokeniser to take texts, but its model had none; give token ids")
        return tokens_of_text(text, f"{self.path}")
