"""Exploration: points a second on one core, and the chooser's time for every network. ``python -m bench.explore``."""

import sys
import time

from rich.console import Console
from rich.table import Table

from hdl.errors import InputError
from hdl.model.load import load_network, networks
from hdl.perf import estimate, load_device
from hdl.perf import explore as explored

DEVICE = "u280"

RATES = {"bert-base": 128, "gpt2": 128, "llama-2-7b": 128, "tiny-bert": 64}
"""Networks whose designs are explored, with the tokens of their prompts."""

POINTS = 100_000

LEAST_RATE, MOST_SECONDS = 5000, 10
"""Goals: points a second on one core, seconds of the chooser."""


def main() -> int:
    """Prints both tables; 1 where a goal is missed."""
    console = Console(highlight=False, width=110)
    device, missed = load_device(DEVICE), False
    table = Table(title=f"{POINTS:,} designs on one core, {DEVICE}", title_justify="left")
    headings = ("network", "points a second", "fit", "front", "best ms", "chosen ms")
    for name in headings:
        table.add_column(name, justify="left" if name == "network" else "right")
    for name, prompt in RATES.items():
        network = load_network(name)
        found = explored(network, device, points=POINTS, prompt=prompt, output=0)
        missed |= found.rate < LEAST_RATE
        chosen = estimate(network, device, prompt=prompt, output=0).first_token.seconds * 1e3
        best = found.front[0].figures["first_token_s"] * 1e3
        table.add_row(
            name, f"{found.rate:,.0f}", f"{found.total.feasible:,}", str(len(found.front)), f"{best:.4f}",
            f"{chosen:.4f}",
        )  # fmt: skip
    table.add_section()
    table.add_row("goal", f"{LEAST_RATE:,}")
    console.print(table)

    table = Table(title=f"The chooser, {DEVICE}: all designs of a network estimated", title_justify="left")
    for name in ("network", "seconds", "design"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for name in networks():
        network = load_network(name)
        start = time.perf_counter()
        try:
            kind = estimate(network, device, prompt=min(128, network.max_positions // 2)).design.kind
        except InputError as error:
            kind = str(error)
        seconds = time.perf_counter() - start
        missed |= seconds > MOST_SECONDS
        table.add_row(name, f"{seconds:.1f}", kind)
    table.add_section()
    table.add_row("goal", str(MOST_SECONDS))
    console.print(table)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
