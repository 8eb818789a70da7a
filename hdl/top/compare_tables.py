"""What `compare` shows: where an FPGA wins against a GPU, as tables."""

from rich import box
from rich.table import Table
from rich.text import Text

from ..perf.comparison.compare import METRICS, Comparison, Metric

__all__ = ["heading", "map_table"]


def heading(found: Comparison, metric: Metric) -> str:
    """What a map shows, in two lines."""
    return (
        f"{found.network.name}, {metric}: {METRICS[metric][0]}\n"
        f"Figures: times that {found.device.name} is better than {found.against.name}. It wins above 1, at "
        f"{found.wins(metric)} of {len(found.points)} pairs of lengths."
    )


def map_table(found: Comparison, metric: Metric) -> Table:
    """The map of a metric, with a row for each prompt and a column for each output. The FPGA wins above 1; a terminal
    shows these figures in green."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("prompt \\ output" if found.network.causal else "tokens", justify="right")
    for output in found.outputs:
        table.add_column(f"{output:,}" if output else "times", justify="right")
    for prompt in found.prompts:
        table.add_row(f"{prompt:,}", *(_cell(found, metric, prompt, output) for output in found.outputs))
    return table


def _cell(found: Comparison, metric: Metric, prompt: int, output: int) -> Text:
    point = found.at(prompt, output)
    if point is None:
        return Text()
    ratio = point.ratio(metric)
    return Text(f"{ratio:.2f}", style="green" if ratio >= 1 else "red")
