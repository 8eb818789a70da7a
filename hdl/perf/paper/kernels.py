"""The cycles of the paper's kernels one by one, from the loops of its published source.

The equations leave out how an array fills and drains, and all that is no matrix product. Here both follow from the
loops: groups of r tokens, blocks of M/r output features, and for each of the others elements times the cycles between
them. Three figures are common to all kernels and are the only ones not in the source: `PE_DEPTH` is read off the
published cycles, `ACCUMULATE_INTERVAL` too, and `LOOP_DEPTH` is an assumption. None belongs to a single kernel.
"""

from math import ceil

from .mapping import PaperMapping

__all__ = ["ACCUMULATE_INTERVAL", "KERNELS", "LOOP_DEPTH", "PE_DEPTH", "array_cycles", "kernel_cycles"]

KERNELS = ("qkv", "qk", "softmax", "av", "projection", "layer_norm", "ffn1", "gelu", "ffn2")
"""The kernels, in the order that a token passes them; Q, K and V work side by side, as one."""

PE_DEPTH = 6
"""Cycles between blocks beside their terms: FFN1's blocks are 1,536 more than QKV's and as long, and the report has
9,215 cycles beyond their terms for them, 6.0 each."""

ACCUMULATE_INTERVAL = 4
"""Cycles between elements of a loop that adds floats to one register. The source asks for 1, which an adder of several
stages cannot do; softmax and LayerNorm, each with one such loop and one without, take 5.4 and 5.1 in all."""

LOOP_DEPTH = 24
"""Stages of a pipelined loop of floating-point operators (an exponential or a division, a product, a conversion): an
assumption. What the published cycles leave for a loop is 23 in softmax, 39 in GELU and 47 in LayerNorm."""


def array_cycles(
    *, tokens: int, outputs: int, terms: int, macs: int, reuse: int, heads: int = 1, depth: int = PE_DEPTH
) -> int:
    """Cycles of a systolic array: for each group of ``reuse`` tokens and each head, blocks of ``macs / reuse`` outputs
    take their terms and the array's ``depth``, and the last one crosses the array; the first group's activations are
    loaded before. With heads, the groups do not overlap, and each waits for its own."""
    columns = macs // reuse
    groups, blocks = ceil(tokens / reuse), ceil(outputs / columns)
    crossing = reuse + columns - 2 + depth
    return groups * heads * (blocks * (terms + depth) + crossing) + (groups if heads > 1 else 1) * terms


def kernel_cycles(mapping: PaperMapping, tokens: int) -> dict[str, int]:
    """Cycles of each of `KERNELS` for a layer's ``tokens``, as its units work alone."""
    network, macs, reuse = mapping.network, mapping.macs, mapping.reuse
    hidden, inner, heads, size = network.hidden, network.intermediate, network.heads, network.head_size
    groups = ceil(tokens / reuse["q"])

    def array(unit: str, outputs: int, terms: int, heads: int = 1) -> int:
        return array_cycles(
            tokens=tokens, outputs=outputs, terms=terms, macs=macs[unit], reuse=reuse[unit], heads=heads
        )

    # A group's rows are worked on side by side; a loop over their elements accumulates, and another gives them out.
    row = ACCUMULATE_INTERVAL + 1
    return {
        "qkv": max(array(unit, hidden, hidden) for unit in "qkv"),
        "qk": array("a1", tokens, size, heads),
        "softmax": groups * heads * (row * tokens + 2 * LOOP_DEPTH),
        "av": array("a2", size, tokens, heads),
        "projection": array("p", hidden, hidden),
        # Between its two loops a third one divides the sums of the group's rows.
        "layer_norm": groups * (row * hidden + reuse["q"] + 3 * LOOP_DEPTH),
        "ffn1": array("f1", inner, hidden),
        # Two words a cycle are buffered while the group before is worked on, so only the first group's are waited for.
        "gelu": groups * (inner + LOOP_DEPTH) + inner // 2,
        "ffn2": array("f2", hidden, inner),
    }
