"""The systolic array: its timing, cycle by cycle, is that of the diagram in its module's docstring."""

from dataclasses import replace
from io import StringIO
from typing import Any

from amaranth.sim import Simulator

from hdl.kernels import systolic
from hdl.kernels.arrayspec import ArraySpec
from hdl.kernels.systolic import SystolicArray

SPEC = ArraySpec(rows=2, columns=3, cascades=1, lanes=1, terms=16, least_words=2, ram_depth=8)
"""The array of the diagram: 3 columns, 1 lane, passes of 2 words."""

WORDS = {"a0": 5, "a1": 7, "b0": 11, "b1": 17}
"""The words of the passes a and b: each has one activation of row 0 that is not 0."""

PASSES = {"A": 5 + 7, "B": 11 + 17}
"""A pass's sum in a column whose weights are 1."""

SHOWN = (*range(9), *range(16, 28))
"""Cycles of the diagram; those between are left out."""


def waves() -> dict[str, list[int]]:
    """Runs both passes; the values of every signal, by its path, in each cycle from the first word's acceptance on."""
    array = SystolicArray(SPEC)

    async def bench(ctx: Any) -> None:
        # Column c has the weight c + 1 in all its words, so that the columns' sums differ.
        for column, write in enumerate(array.write):
            ctx.set(write.enable, 1)
            ctx.set(write.data, column + 1)
            for address in range(SPEC.ram_depth):
                ctx.set(write.address, address)
                await ctx.tick()
            ctx.set(write.enable, 0)
        offer, address = array.offers, array.addresses
        for signal in (offer.valid, address.valid, array.sums.ready):
            ctx.set(signal, 1)
        coming = [0] * SPEC.word_latency  # the words on their way to the array
        waiting = list(enumerate(WORDS.items(), start=1))
        for _ in range(SHOWN[-1] + 1):
            if waiting:
                number, (name, activation) = waiting[0]
                ctx.set(address.payload, number)
                ctx.set(offer.payload.last, name.endswith("1"))
            else:
                ctx.set(offer.valid, 0)
                ctx.set(address.valid, 0)
                ctx.set(address.payload, 0)
            taken = waiting and ctx.get(offer.ready)
            ctx.set(array.word, coming.pop(0))
            coming.append(activation if taken else 0)
            if taken:
                waiting.pop(0)
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    text = StringIO()
    with simulator.write_vcd(text):
        simulator.run()
    sampled = cycles(text.getvalue())
    start = sampled["offers__valid"].index(1)
    return {path: values[start:] for path, values in sampled.items()}


def cycles(vcd: str) -> dict[str, list[int]]:
    """The value of each signal of a VCD, by its path below the top module, at the end of each clock cycle."""
    scopes: list[str] = []
    codes: dict[str, str] = {}
    values: dict[str, int] = {}
    found: dict[str, list[int]] = {}
    for line in vcd.splitlines():
        words = line.split()
        if words[0] == "$scope":
            scopes.append(words[2])
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$var":
            codes["/".join([*scopes[2:], words[4]])] = words[3]
        elif line[0] in "01b":
            code, value = (words[1], words[0][1:]) if line[0] == "b" else (line[1:], line[0])
            if code == codes["clk"] and value == "1":
                for path, own in codes.items():
                    found.setdefault(path, []).append(values.get(own, 0))
            values[code] = int(value, 2)
    return found


def diagram() -> str:
    """The module's diagram, drawn from a simulation."""
    signals = waves()
    columns = range(SPEC.columns)
    words = {value * (column + 1): name for name, value in WORDS.items() for column in columns}
    sums = {value * (column + 1): f"{name}{column}" for name, value in PASSES.items() for column in columns}
    addresses = dict(enumerate(WORDS, start=1))
    accepted = signals["go"]

    def row(label: str, path: str, names: dict[int, str], when: list[int] | None = None) -> str:
        """A line: what a signal holds in each cycle, or in those in which ``when`` is 1."""
        held = [value if when is None or when[cycle] else 0 for cycle, value in enumerate(signals[path])]
        return line(label, [names[held[cycle]] if held[cycle] else "." for cycle in SHOWN])

    def line(label: str, cells: list[str]) -> str:
        cells = [f"{cell:>3}" for cell in cells]
        gap = next(i for i, cycle in enumerate(SHOWN) if cycle != i)
        return f"    {label:<22}" + "".join(cells[:gap]) + " .." + "".join(cells[gap:])

    lines = [
        line("cycle", [str(cycle) for cycle in SHOWN]),
        row("go", "addresses__payload", addresses, accepted),
        *(
            row(f"column {c}: address", f"column_{c}/address", addresses, [0] * (SPEC.entry_delay + c) + accepted)
            for c in columns
        ),
        *(
            row(f"column {c}: its sum", f"column_{c}/cascade_0_0/sums", words, signals[rf"column_{c}/\arrived.valid"])
            for c in columns
        ),
        row("column 0: accumulator", "column_0/accumulator0", words | sums),
        *(row(f"column {c}: finished", f"column_{c}/finished0", sums) for c in columns),
        row("all:      load", "column_0/load", {1: "1"}),
        *(row(f"column {c}: outgoing", f"column_{c}/outgoing0", sums) for c in columns),
        row("leaving", "leaving0", {count: str(count) for count in range(1, 4)}),
        row("sums", r"\sums__payload[0][0]", sums, signals["sums__valid"]),
    ]
    return "\n".join(lines) + "\n"


def test_the_documented_timing_is_that_of_the_simulation() -> None:
    assert f"\n\n{diagram()}\n" in str(systolic.__doc__)


def test_the_diagram_shows_the_delays_of_the_spec() -> None:
    """The figures that the text below the diagram explains."""
    assert (SPEC.sum_delay, SPEC.finished(2), SPEC.load_delay(0), SPEC.latency) == (14, 20, 19, 22)


def test_the_lanes_of_a_beat_are_consecutive_features() -> None:
    spec = replace(SPEC, columns=6, lanes=2)
    assert [spec.feature(column) for column in range(6)] == [0, 2, 4, 1, 3, 5]
