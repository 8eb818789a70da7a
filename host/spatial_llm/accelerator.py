"""Texts through a kernel on a card."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from hdl.card.answers import BEAT_CANDIDATES, NO_STOP
from hdl.card.session import Flags
from hdl.channel import BEAT_BYTES
from hdl.errors import InputError
from hdl.model.reference import Candidates
from hdl.model.sample import Sampler, Sampling, checked_prompt

from .image import Image
from .kernel import CardKernel, Code, RunError

__all__ = ["DecoderAccelerator", "EncoderAccelerator", "load"]

BEAT_WORDS = BEAT_BYTES // 4
"""Words of a beat of a decoder's request."""

REQUEST_BYTES = 1 << 24
"""The most bytes of the texts of a run."""


def load(
    xclbin: str | Path, image: str | Path, *, index: int = 0, xrt: Any = None, patience: float = 60.0
) -> "Accelerator":
    """A kernel on a card with a model in its memory.

    Args:
        xclbin: the card's configuration.
        image: the memory image, made by ``spatial-llm image`` with the options of ``emit``.
        index: the number of the card.
        xrt: a module with the calls of ``pyxrt``; by default that.
        patience: seconds after which a run is given up.

    Raises:
        InputError: for a file that is no memory image, and where there is no ``pyxrt``.
    """
    if xrt is None:
        try:
            xrt = import_module("pyxrt")
        except ImportError:
            raise InputError(
                "a card needs XRT's Python module pyxrt; source setup.sh of XRT, and use its Python"
            ) from None
    read = Image(Path(image))
    kind = DecoderAccelerator if read.model.head is not None else EncoderAccelerator
    return kind(CardKernel(xrt, str(xclbin), read, index, patience))


class Accelerator:
    """A kernel on a card. Members: ``kernel``; ``image``."""

    def __init__(self, kernel: CardKernel):
        self.kernel, self.image = kernel, kernel.image

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the card's memory back."""
        self.kernel.buffers.clear()

    @property
    def _sizes(self) -> Mapping[str, int]:
        sizes: Mapping[str, int] = self.image.kernel["sizes"]
        return sizes

    def counters(self) -> Mapping[str, int]:
        """The counters of the last run: cycles, answers, and for each master the beats that it read and the cycles in
        which it waited for one."""
        own = ("version", "status", "design_hash")
        return {name: value for name, value in self.kernel.report.items() if name not in own}


class EncoderAccelerator(Accelerator):
    """An encoder on a card."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings [texts, hidden] of texts.

        Raises:
            InputError: for no texts, an empty one, and one that is too long.
            RunError: for a run that did not end well.
        """
        ids = [self.image.tokens.of(text, self._sizes["positions"]) for text in texts]
        model = self.image.model
        return np.stack([model.pool(output) for output in self.run([model.embed(own) for own in ids])])

    def run(self, texts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The last layer's outputs, int64 [tokens, hidden] each, of embedded texts, int16 [tokens, hidden] each."""
        if not texts:
            raise InputError("texts must be at least one")
        outputs: list[np.ndarray] = []
        for batch in self._batches(texts):
            outputs += self._run(batch, self._sizes["layers"], trace=False)
        return outputs

    def layers(self, text: np.ndarray) -> np.ndarray:
        """The outputs of all layers, int64 [layers, tokens, hidden], of an embedded text."""
        return self._run([text], self._sizes["layers"], trace=True)[0].reshape(-1, len(text), self._sizes["hidden"])

    def _batches(self, texts: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Texts for one run each."""
        batch: list[np.ndarray] = []
        size = 0
        for text in texts:
            own = (1 + self._tiles(text) * self._sizes["memory_beats"]) * BEAT_BYTES
            if batch and size + own > REQUEST_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += own
        yield batch

    def _tiles(self, text: np.ndarray) -> int:
        return -(-len(text) // self._sizes["rows"])

    def _run(self, texts: Sequence[np.ndarray], layers: int, *, trace: bool) -> list[np.ndarray]:
        """A run; with ``trace`` the outputs of all layers, one after the other."""
        parts = [part for text in texts for part in (self._head(text), self._pack(text))]
        tiles = [self._tiles(text) * (layers if trace else 1) for text in texts]
        size = self._sizes["memory_beats"] * BEAT_BYTES
        self.kernel.request(np.concatenate(parts), sum(tiles) * size)
        self.kernel.start({"texts": len(texts), "layers": layers}, flags=int(trace) << Flags.TRACE)
        self.kernel.wait()
        raw, place, outputs = self.kernel.answer(0, sum(tiles) * size), 0, []
        for text, count in zip(texts, tiles, strict=True):
            rows = self._unpack(raw[place : place + count * size], count)
            place += count * size
            outputs.append(rows.reshape(-1, self._tiles(text) * self._sizes["rows"], rows.shape[-1])[:, : len(text)])
        return [output.reshape(-1, output.shape[-1]) for output in outputs]

    @staticmethod
    def _head(text: np.ndarray) -> np.ndarray:
        """The beat that begins a text."""
        head = np.zeros(BEAT_BYTES, np.uint8)
        head[:4] = np.array([len(text)], "<u4").view(np.uint8)
        return head

    def _pack(self, text: np.ndarray) -> np.ndarray:
        """Embedded tokens, int16 [tokens, hidden], as bytes of whole tiles."""
        sizes, count = self._sizes, self._tiles(text)
        rows, lanes, beats = sizes["rows"], sizes["lanes"], sizes["tile_beats"]
        padded = np.zeros((count * rows, sizes["hidden"]), "<i2")
        padded[: len(text)] = text
        tiles = padded.reshape(count, rows, beats, lanes).transpose(0, 2, 1, 3).reshape(count, beats, rows * lanes)
        held = BEAT_BYTES // 2 // (rows * lanes)
        filled = np.zeros((count, sizes["memory_beats"] * held, rows * lanes), "<i2")
        filled[:, :beats] = tiles
        whole = np.zeros((count * sizes["memory_beats"], BEAT_BYTES // 2), "<i2")
        whole[:, : held * rows * lanes] = filled.reshape(len(whole), held * rows * lanes)
        return whole.view(np.uint8).ravel()

    def _unpack(self, raw: np.ndarray, count: int) -> np.ndarray:
        """Tiles as int64 [tiles * rows, hidden], the inverse of `_pack`."""
        sizes = self._sizes
        rows, lanes, beats = sizes["rows"], sizes["lanes"], sizes["tile_beats"]
        held = BEAT_BYTES // 2 // (rows * lanes)
        values = raw.view("<i2").reshape(-1, BEAT_BYTES // 2)[:, : held * rows * lanes]
        tiles = values.reshape(count, -1, rows, lanes)[:, :beats].transpose(0, 2, 1, 3)
        return tiles.reshape(count * rows, sizes["hidden"]).astype(np.int64)


class DecoderAccelerator(Accelerator):
    """A decoder on a card."""

    def generate(
        self, prompt: str, tokens: int = 32, *, sampling: Sampling | None = None, stop: int | None = None
    ) -> Iterator[str]:
        """Text after a prompt, piece by piece. ``sampling``: how tokens are drawn, by default always the likeliest.

        Raises:
            InputError: for a prompt and a number of tokens that do not suit the model.
            RunError: for a run that did not end well.
        """
        ids = self.image.tokens.of(prompt, self._sizes["positions"])
        stream = self.image.tokens.stream()
        stream.push(ids)
        for token in self.ids(ids, tokens, sampling=sampling, stop=stop):
            yield stream.push([token])
        yield stream.end()

    def ids(
        self, prompt: Sequence[int], tokens: int, *, sampling: Sampling | None = None, stop: int | None = None
    ) -> Iterator[int]:
        """The ids of tokens after those of a prompt, drawn on the card in one run."""
        given = checked_prompt(prompt, tokens, self.image.model.network)
        k = 1 if sampling is None else min(sampling.top_k, self._sizes["candidates"])
        yield from (token for token, _ in self._run(given, tokens, k, sampling=sampling, stop=stop))

    def candidates(
        self, prompt: Sequence[int], tokens: int, k: int, *, sampling: Sampling | None = None
    ) -> Iterator[Candidates]:
        """The ``k`` best candidates for each of the tokens after a prompt, each as soon as it is there."""
        yield from (found for _, found in self._run(prompt, tokens, k, sampling=sampling))

    def _run(
        self, prompt: Sequence[int], tokens: int, k: int, *, sampling: Sampling | None, stop: int | None = None
    ) -> Iterator[tuple[int, Candidates]]:
        """The tokens that are drawn, each with its candidates."""
        sampler = Sampler(sampling or Sampling(temperature=0), self.image.model.logit_scale)
        parts = [np.array(prompt, "<u4"), np.array([sampler.uniform() for _ in range(tokens)], "<u4")]
        words = np.concatenate([np.pad(part, (0, -len(part) % BEAT_WORDS)) for part in parts])
        stride = (1 + -(-k // BEAT_CANDIDATES)) * BEAT_BYTES
        self.kernel.request(words.view(np.uint8), tokens * stride)
        numbers = {"tokens": len(prompt), "generate": tokens, "candidates": k}
        numbers |= {"stop": NO_STOP if stop is None else stop, "temperature": sampler.factor | sampler.shift << 16}
        self.kernel.start(numbers, flags=1 << Flags.RESTART | 1 << Flags.CANDIDATES)
        told = 0
        for _ in self.kernel.running():
            for record in self._records(told, tokens, k, stride):
                told += 1
                yield record
        yield from self._records(told, self.kernel.report["answers"], k, stride)

    def _records(self, first: int, end: int, k: int, stride: int) -> Iterator[tuple[int, Candidates]]:
        """The records that are there, from the first one on."""
        for number in range(first, end):
            raw = self.kernel.answer(number * stride, stride)
            written, token = raw[:8].view("<u4").tolist()
            if written != number + 1:
                return
            pairs = raw[BEAT_BYTES:].view("<i4").reshape(-1, 2)[:k].astype(np.int64)
            yield token, Candidates(pairs[:, 0], pairs[:, 1])


__all__ += ["Code", "RunError"]
