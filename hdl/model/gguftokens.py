"""The tokeniser in a GGUF file's metadata, as the package `tokenizers` has it."""

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ..errors import InputError, shown
from .chat import ChatTemplate

__all__ = ["gguf_chat", "gguf_tokeniser"]

PREFIX = "tokenizer.ggml."

SPECIAL = (3, 4)
"""The types of tokens that are no text: control tokens, and those of the model's user."""

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What stands for a space in a sentencepiece."""

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How LLaMA 3 and Qwen split a text; they differ in how many digits stand together."""


def _words(digits: str) -> list[Any]:
    return [pre_tokenizers.Split(Regex(WORDS % digits), "isolated"), _byte_level(own_words=False)]


def _byte_level(*, own_words: bool) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own_words)


SPLITS = {
    "gpt-2": lambda: [_byte_level(own_words=True)],
    "smollm": lambda: [pre_tokenizers.Digits(individual_digits=True), _byte_level(own_words=True)],
    "llama-bpe": lambda: _words("{1,3}"),
    "llama3": lambda: _words("{1,3}"),
    "qwen2": lambda: _words(""),
}
"""The steps that split a text into words, by the name that the file has for them."""


def gguf_tokeniser(metadata: Mapping[str, Any], source: str) -> Tokenizer:
    """The tokeniser of a file; ``source`` is named in errors.

    Raises:
        InputError: where the file has none, or one of another kind.
    """
    own = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    kinds = {"gpt2": _byte_pairs, "llama": _pieces}
    if (kind := own.get("model")) not in tuple(kinds):
        raise InputError(f"tokeniser of {source} must be of the kind {' or '.join(kinds)}, not {shown(kind)}")
    tokens = own["tokens"]
    tokeniser = kinds[kind](own, {token: index for index, token in enumerate(tokens)}, source)
    special = [AddedToken(tokens[i], special=True) for i, kind in enumerate(own["token_type"]) if kind in SPECIAL]
    tokeniser.add_special_tokens(special)
    if own.get("add_bos_token", kind == "llama"):
        begin = tokens[own["bos_token_id"]]
        tokeniser.post_processor = processors.Sequence(
            [
                *([tokeniser.post_processor] if tokeniser.post_processor else []),
                processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, own["bos_token_id"])]),
            ]
        )
    return tokeniser


def gguf_chat(metadata: Mapping[str, Any], source: str) -> ChatTemplate | None:
    """The template of conversations in a file, if it has one."""
    template = metadata.get("tokenizer.chat_template")
    if not isinstance(template, str):
        return None
    names = metadata[f"{PREFIX}tokens"]
    ids = {kind: metadata.get(f"{PREFIX}{kind}_token_id") for kind in ("bos", "eos", "padding", "unknown")}
    tokens = {f"{kind}_token": names[index] for kind, index in ids.items() if index is not None}
    return ChatTemplate(template, source, tokens)


def _byte_pairs(own: Mapping[str, Any], vocabulary: dict[str, int], source: str) -> Tokenizer:
    """GPT-2's kind: bytes as characters, and merges in their order."""
    if (split := own.get("pre")) not in tuple(SPLITS):
        raise InputError(f"tokeniser of {source} must split words as {', '.join(SPLITS)} do, not as {shown(split)}")
    merges = [(first, second) for first, second in (merge.split(" ") for merge in own["merges"])]
    whole = split in ("llama-bpe", "llama3")  # a word that is a token is not made of merges
    tokeniser = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=whole))
    if split == "qwen2":
        tokeniser.normalizer = normalizers.NFC()
    tokeniser.pre_tokenizer = pre_tokenizers.Sequence(SPLITS[split]())
    tokeniser.decoder = decoders.ByteLevel()
    return tokeniser


def _pieces(own: Mapping[str, Any], vocabulary: dict[str, int], source: str) -> Tokenizer:
    """Sentencepiece's kind: two pieces merge where the whole is one, the likeliest first."""
    scores = own["scores"]
    found = [
        (-scores[index], place, whole[:place], whole[place:])
        for whole, index in vocabulary.items()
        for place in range(1, len(whole))
        if whole[:place] in vocabulary and whole[place:] in vocabulary
    ]
    found.sort(key=lambda merge: (merge[0], vocabulary[merge[2] + merge[3]], merge[1]))
    unknown = own["tokens"][own.get("unknown_token_id", 0)]
    merges = [(first, second) for _, _, first, second in found]
    tokeniser = Tokenizer(models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend(SPACE)] if own.get("add_space_prefix", True) else []
    tokeniser.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokeniser.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prefix else [])])
    return tokeniser
