"""RAMs: what is read, and when."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.ram import Ram, RamSpec, RegisteredRam, RegisteredRamSpec

from .synthesis import synthesise


def access(ram: Ram | RegisteredRam, operations: list[tuple[int, int, int, int]]) -> list[int]:
    """The data of a read in every cycle, for operations (write enable, write address, write data, read address)."""
    answers = []

    async def testbench(ctx: Any) -> None:
        for enable, write, value, read in operations + [(0, 0, 0, 0)] * ram.spec.latency:
            ctx.set(ram.write_enable, enable)
            ctx.set(ram.write_address, write)
            ctx.set(ram.write_data, value)
            ctx.set(ram.read_address, read)
            await ctx.tick()
            answers.append(ctx.get(ram.read_data))

    simulator = Simulator(ram)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return answers[ram.spec.latency - 1 : -1]


@pytest.mark.parametrize(
    "spec",
    [
        RamSpec(8, 2, "distributed"),
        RamSpec(8, 20, "block"),
        RamSpec(24, 20, "ultra", granularity=8),
        RamSpec(8, 4096 + 9, "block"),
        RamSpec(8, 2 * 4096 + 9, "ultra"),
    ],
)
def test_ram_answers_after_its_latency(spec: RamSpec) -> None:
    rng = np.random.default_rng(1)
    ram = Ram(spec.width, spec.depth, spec.style, spec.granularity)
    groups = spec.width // spec.granularity
    # A few addresses of every block, so that words are written again, and reads change between blocks.
    addresses = sorted({0, 1, 7, 4095, 4096, 8191, spec.depth // 2, spec.depth - 1} & set(range(spec.depth)))
    steps = [((1 << groups) - 1, address) for address in addresses]
    steps += [(int(rng.integers(1 << groups)), int(rng.choice(addresses))) for _ in range(300)]
    content: dict[int, int] = {}
    operations, expected = [], []
    for enable, write in steps:
        # Whatever has been written, but not what is being written.
        known = [address for address in content if address != write]
        read, value = int(rng.choice(known or [0])), int(rng.integers(1 << spec.width))
        operations.append((enable, write, value, read))
        expected.append(content[read] if known else None)
        for group in range(groups):
            if enable >> group & 1:
                mask = ((1 << spec.granularity) - 1) << group * spec.granularity
                content[write] = content.get(write, 0) & ~mask | value & mask
    answers = access(ram, operations)
    assert [
        answer if wanted is not None else None for answer, wanted in zip(answers, expected, strict=True)
    ] == expected


@pytest.mark.parametrize(
    "spec",
    [
        RegisteredRamSpec(16, 5, "distributed", groups=2),
        RegisteredRamSpec(300, 9, "distributed"),
        RegisteredRamSpec(24, 4096 + 3, "block", groups=3),
    ],
)
def test_groups_are_written_alone(spec: RegisteredRamSpec) -> None:
    """All groups take the same data, each in the cycles of its own enable; a read sees the writes before it."""
    rng = np.random.default_rng(2)
    mask = (1 << spec.group_bits) - 1
    addresses = sorted({0, 1, spec.depth // 2, spec.depth - 1})
    content = dict.fromkeys(addresses, 0)
    operations, expected = [], []
    steps = [((1 << spec.groups) - 1, address) for address in addresses]
    steps += [(int(rng.integers(1 << spec.groups)), int(rng.choice(addresses))) for _ in range(200)]
    for number, (enable, write) in enumerate(steps):
        value = int.from_bytes(rng.bytes(spec.group_bits // 8 + 1), "little") & mask
        read = int(rng.choice([address for address in addresses if address != write]))
        operations.append((enable, write, value, read))
        expected.append(content[read] if number >= len(addresses) else None)
        for group in range(spec.groups):
            if enable >> group & 1:
                shift = group * spec.group_bits
                content[write] = content[write] & ~(mask << shift) | value << shift
    answers = access(RegisteredRam(spec), operations)
    kept = [index for index, wanted in enumerate(expected) if wanted is not None]
    assert [answers[index] for index in kept] == [expected[index] for index in kept]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (lambda: RamSpec(8, 8, "lut"), "RAM style must be ultra, block or distributed, not 'lut'"),
        (lambda: RamSpec(8, 0, "block"), "RAM must have whole groups of 8 bits and words, not 8 bits x 0 words"),
        (lambda: RamSpec(64, 8, "ultra", 9), "RAM must have whole groups of 9 bits and words, not 64 bits x 8 words"),
        (lambda: RegisteredRamSpec(64, 8, "block", groups=3), "RAM groups must divide its 64 bits, not 3"),
    ],
)
def test_impossible_specs_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        spec()
    assert str(error.value) == message


def test_resources_of_rams_are_those_of_synthesis() -> None:
    specs = [
        RamSpec(64, 4096, "ultra", granularity=8),  # the weights' and the values': one URAM288
        RamSpec(68, 844, "block"),
        RamSpec(16, 4096 + 500, "block"),
        RamSpec(40, 100, "distributed"),
    ]
    rams = [Ram(spec.width, spec.depth, spec.style, spec.granularity) for spec in specs]
    for spec, found in zip(specs, synthesise(*rams), strict=True):
        estimate = spec.resources
        assert (estimate.bram36, estimate.uram) == (found.bram36, found.uram), spec
        # A single RAM has few LUTs or none: decoders of a few LUTs and registers make up much of them.
        assert abs(estimate.lut - found.lut) <= 4 + 0.2 * found.lut, spec
        assert abs(estimate.ff - found.ff) <= 4, spec


def test_resources_of_registered_rams_are_those_of_synthesis() -> None:
    specs = [RegisteredRamSpec(256, 40, "distributed", groups=2), RegisteredRamSpec(256, 300, "block", groups=4)]
    for spec, found in zip(specs, synthesise(*(RegisteredRam(spec) for spec in specs)), strict=True):
        estimate = spec.resources
        assert estimate.bram36 == found.bram36, spec
        assert abs(estimate.lut - found.lut) <= 4 + 0.2 * found.lut, spec
        assert abs(estimate.ff - found.ff) <= 4 + 0.02 * found.ff, spec
