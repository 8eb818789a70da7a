"""Small decoders for the tests."""

from dataclasses import replace

from hdl.model.weightbits import W4, WeightBits
from hdl.perf.geometry.arrays import Arrays
from hdl.perf.geometry.decoder_spec import DecoderSpec

from ...model.networks import head, layer

TINY = DecoderSpec(
    layer=layer("gpt2", 32, 2, 64), max_length=32, max_layers=2, rows=4, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(8, 1), projection=(4, 1), ffn1=(8, 1), ffn2=(8, 1), scores=(8, 1), sums=(4, 1)),
    channels=(1, 1, 1, 1),
    head=head("gpt2", 32, 90), cache_on_chip=True,
)  # fmt: skip
"""A decoder in which every unit takes several passes, words and tiles, and the head is no multiple of the columns. No
test simulates it: `MIXED` is this with other weights."""

PACKED = replace(TINY, weight_bits=W4)
"""With weights of 4 bits; `FAR` has them in a simulation."""

MIXED = replace(TINY, weight_bits=WeightBits.of(4, ("projection", "head")), channels=(2, 1, 1, 1), padding=3)
"""With weights of 4 bits and of 8, of which a product of either follows one of the other; 29 positions."""

FAR = replace(
    TINY, max_length=44, max_layers=4, rows=2,
    arrays=Arrays(qkv=(4, 2), projection=(2, 4), ffn1=(4, 2), ffn2=(4, 2), scores=(16, 2), sums=(16, 3)),
    channels=(2, 1, 2, 1), cache_on_chip=False, cache_channels=2, cache_banks=3, weight_bits=W4,
)  # fmt: skip
"""Keys and values in off-chip memory, two channels for each; a fourth layer takes the bank of the first. Arrays of
several cascades, weights of 4 bits, those of the head too."""

ODD = DecoderSpec(
    layer=layer("gpt2", 96, 3, 192), max_length=24, max_layers=3, rows=2, lanes=1, ffn_lanes=1, score_lanes=3,
    arrays=Arrays(qkv=(6, 2), projection=(3, 3), ffn1=(8, 2), ffn2=(8, 3), scores=(6, 1), sums=(4, 3)),
    channels=(1, 1, 2, 2),
    head=head("gpt2", 96, 101), cache_on_chip=True, padding=1,
)  # fmt: skip
"""Sizes that are no powers of two, arrays of different depths, channels whose RAMs do not fill beats; 23 positions."""

SMALL = DecoderSpec(
    layer=layer("gpt2", 16, 2, 32), max_length=8, max_layers=1, rows=2, lanes=2, ffn_lanes=2, score_lanes=2,
    arrays=Arrays(qkv=(2, 1), projection=(2, 1), ffn1=(2, 1), ffn2=(2, 1), scores=(2, 1), sums=(2, 1)),
    channels=(1, 1, 1, 1),
    head=head("gpt2", 16, 11), cache_on_chip=True,
)  # fmt: skip
"""As little as there can be, and a single layer, for Amaranth's own simulator."""

HEAVY = DecoderSpec(
    layer=layer("gpt2", 192, 3, 768), max_length=16, max_layers=2, rows=2, lanes=4, ffn_lanes=4, score_lanes=2,
    arrays=Arrays(qkv=(12, 1), projection=(4, 1), ffn1=(8, 1), ffn2=(8, 1), scores=(8, 1), sums=(8, 1)),
    channels=(1, 1, 1, 1),
    head=head("gpt2", 192, 300), cache_on_chip=True,
)  # fmt: skip
"""A token waits for its weights."""

DEEP = replace(HEAVY, max_length=64, max_layers=3, arrays=HEAVY.arrays | Arrays(scores=(4, 1), sums=(4, 1)))
"""Its loop, its weights, its keys and its values lie in URAM."""

MOVED = replace(DEEP, block_rams=("loop", "qkv", "projection", "ffn2", "scores", "sums"))
"""All but one of them in block RAM; a token waits for its weights, as in `HEAVY`, which no test simulates."""
