"""Arrays that share products: prompts and shared products in turn, bit-exact; latency and cycles as the specs say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.lib import wiring

from hdl.kernels.linear import Linear, LinearSpec
from hdl.kernels.shared import Product, SharedColumnsSpec
from hdl.kernels.sharing import Collect, Distribute, share
from hdl.resources import Resources

from ..harness import StreamResult, run_streams
from ..synthesis import assert_mapped
from .sharing_design import Prompt, Script, SharedUnits, Together

OWN = LinearSpec(
    rows=2, inputs=32, outputs=24, columns=4, cascades=1, lanes_in=2, lanes=2, channels=2, ram_depth=30, max_tiles=8,
    ram_style="block",
)  # fmt: skip
HEAD, LAST = 4, 5

Arrays = tuple[tuple[LinearSpec, ...], SharedColumnsSpec]


def geometry(*shapes: tuple[int, int], lanes: int, heads: Sequence[Product], bits: Sequence[int] = (8,) * 4) -> Arrays:
    """Four arrays of so many columns and cascades, which share their own products and others."""
    sizes = [(32, 24), (16, 12), (16, 24), (80, 16)]
    own = [Product(*size, bit) for size, bit in zip(sizes, bits, strict=True)]
    units = [
        replace(OWN, inputs=size.inputs, outputs=size.outputs, columns=columns, cascades=cascades, lanes_in=lanes,
            lanes=lanes, channels=min(columns, 2), ram_depth=size.inputs * size.outputs // (8 * columns * cascades) + 3)
        for size, (columns, cascades) in zip(own, shapes, strict=True)
    ]  # fmt: skip
    return share(units, [*own, *heads])


HEADS = [Product(16, 398), Product(80, 330), Product(48, 10), Product(160, 20)]
"""The weights of the first are more than the RAMs hold, and its features fill no whole round. The sums' beats are more
than a pass, or fewer; one round, not all of its features; a long row."""

GEOMETRIES = {
    "several lanes": geometry((4, 1), (2, 2), (6, 1), (4, 2), lanes=2, heads=HEADS),
    # The third array's own product, and two that are shared.
    "weights of 4 bits": geometry(
        (2, 1), (2, 2), (4, 1), (2, 2), lanes=2, bits=(8, 8, 4, 8), heads=[Product(16, 150, 4), Product(144, 40, 4)]
    ),
    "one lane": geometry((3, 2), (1, 1), (2, 2), (1, 1), lanes=1, heads=[Product(48, 17), Product(16, 30)]),
}
ALTERNATING = [
    Prompt((2, 3)),
    Together((0, 1, 2, 3, 0, 1, 2, 3, HEAD, LAST)),
    Prompt((1, 2, 1)),
    Together((3, LAST, HEAD)),
    Prompt((2,)),
]


def run(arrays: Arrays, runs: list[Prompt | Together], **options: Any) -> StreamResult:
    """Runs, whose sums must be exact."""
    script = Script(*arrays, runs, seed=1)
    wanted = {name: len(beats) for name, beats in script.sums.items()}
    result = run_streams(SharedUnits(*arrays), script.inputs, wanted, **options)
    for name, sums in script.sums.items():
        np.testing.assert_array_equal(result.outputs[name], sums)
    return result


def test_prompts_and_shared_products_in_turn() -> None:
    run(GEOMETRIES["one lane"], [Prompt((2, 1)), Together((3, HEAD)), Prompt((1,))], gaps=1)


@pytest.mark.parametrize("gaps", [None, 3])
@pytest.mark.parametrize("arrays", GEOMETRIES.values(), ids=GEOMETRIES)
def test_emitted_verilog_equals_the_reference(arrays: Arrays, gaps: int | None) -> None:
    run(arrays, ALTERNATING, gaps=gaps, simulator="verilator")


@pytest.mark.parametrize("cycle", [60, 300])
def test_reset_in_the_middle(cycle: int) -> None:
    """Of the first prompt, and of the shared products."""
    run(GEOMETRIES["one lane"], ALTERNATING[:3], gaps=2, reset_at=cycle, simulator="verilator")


@pytest.mark.parametrize(
    "arrays", [GEOMETRIES["several lanes"], geometry((8, 1), (2, 2), (4, 2), (4, 1), lanes=2, heads=HEADS)]
)
def test_latency_and_cycles_are_the_specs(arrays: Arrays) -> None:
    """Of products alone, whose weights are there before their activations; then of one behind the other."""
    units, spec = arrays
    following = (HEAD, HEAD + 1)  # whose next row has room in front of the arrays, and comes in less time
    runs = [*(Together((p,)) for p in range(HEAD, len(spec.products))), *(Together((p, p)) for p in following)]
    accepted = run(arrays, runs, simulator="verilator").accepted
    for p, product in enumerate(HEADS, start=HEAD):
        rows = accepted[f"sources__{p}"].reshape(-1, product.inputs // spec.lanes)
        sums = accepted[f"sums__{p}"].reshape(-1, product.outputs // spec.lanes)
        entry = rows[0, -1] + spec.distribute_latency + units[0].activation_latency
        assert sums[0, 0] == entry + units[0].array.latency + spec.collect_latency
        assert sums[0, -1] == entry + spec.sums_latency(product.inputs, product.outputs)
        if p in following:
            assert sums[2, 0] - sums[1, 0] == spec.product_cycles(product.inputs, product.outputs)


def test_resources_are_those_of_synthesis() -> None:
    """Of one lane and several; of an array that shares products."""
    sizes = [Product(192, 576), Product(192, 192), Product(192, 768), Product(768, 192)]
    mapped: list[tuple[wiring.Component, Resources]] = []
    for lanes in (1, 4):
        units = [
            replace(OWN, inputs=size.inputs, outputs=size.outputs, columns=columns, cascades=2, lanes_in=lanes,
                lanes=lanes, ram_depth=4096, ram_style="ultra")
            for size, columns in zip(sizes, (12, 4, 16, 16), strict=True)
        ]  # fmt: skip
        sharing, spec = share(units, [*sizes, Product(192, 50260)])
        mapped += [(Distribute(spec), spec.distribute_resources), (Collect(spec), spec.collect_resources)]
    assert_mapped([*mapped, (Linear(sharing[1]), sharing[1].resources)])


@pytest.mark.parametrize(
    ("sizes", "lanes", "message"),
    [
        ((Product(32, 24),), 2, "shared arrays must have a product each, not 1 for 2"),
        (
            (Product(32, 24), Product(24, 24)), 2,
            "linear inputs must be a multiple of the depth 16 of an array whose orders name products, not 24",
        ),
        (
            (Product(32, 24), Product(32, 23)), 2,
            "shared products must have inputs in multiples of [8, 16] and outputs in multiples of 2, not 32 and 23",
        ),
        ((Product(32, 24), Product(32, 24)), 1, "shared arrays must be of the same lanes, not [2, 1]"),
    ],
)  # fmt: skip
def test_impossible_specs_are_refused(sizes: tuple[Product, ...], lanes: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        share([OWN, replace(OWN, cascades=2, lanes=lanes)], sizes)
    assert str(error.value) == message
