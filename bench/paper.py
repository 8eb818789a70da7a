"""The paper's figures and the field's beside the model's: prints docs/paper.md, or writes it.

``python -m bench.paper [--write]``
"""

import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import yaml

from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf import (
    Estimate,
    compare,
    estimate,
    estimate_gpu,
    kernel_cycles,
    largest_mapping,
    load_device,
    load_paper_design,
)
from hdl.perf.comparison.compare import METRICS
from hdl.perf.paper.kernels import KERNELS
from hdl.resources import Resources

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "paper.md"

GPT, BERT = load_paper_design("gpt2-345m"), load_paper_design("bert-base")

UNIT_OF = {"qkv": "q", "qk": "a1", "av": "a2", "projection": "p", "ffn1": "f1", "ffn2": "f2"}
"""The unit of the equations that a kernel is, where it is one."""

DFX_PREFILL_MS, DFX_TOKENS, ALLO_TOKENS, ALLO_OVER_A100 = 177.2, 185, 204, 1.7
"""DFX and the paper's design for GPT-2 345M [32:32], as arXiv 2604.12618 has them; arXiv 2404.04815."""

BERT_MS, FQ_BERT_MS = 26.01, 23.79
COUNTS = ("dsp", "bram36", "uram", "lut", "ff")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, figures to the right of the first column."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def words(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, all to the left."""
    return table(columns, rows).replace("---:", "---")


@cache
def ours(model: str, device: str, prompt: int, output: int, weight_bits: int = 8) -> Estimate:
    """Our estimate; each is made once."""
    return estimate(model, device, prompt=prompt, output=output, weight_bits=weight_bits)


def in_words(found: Estimate) -> str:
    """An estimate in a cell."""
    bits = f"W{found.design.weight_bits}A8, {found.design.kind}"
    if found.token is None:
        return f"{found.first_token.seconds * 1e3:.2f} ms ({bits})"
    return f"first token {found.first_token.seconds * 1e3:.2f} ms, {found.tokens_a_second:,.0f} tokens/s ({bits})"


def kernels() -> str:
    """Every kernel's published cycles beside the equations' and the model's."""
    modelled, work = kernel_cycles(GPT.mapping, GPT.tokens), GPT.mapping.work(GPT.tokens)
    rows = []
    for name in KERNELS:
        published, unit = GPT.kernels[name], UNIT_OF.get(name)
        cells = ["", ""]
        if unit:
            cycles = work[unit] / GPT.mapping.macs[unit]
            cells = [f"{cycles:,.0f}", f"{cycles / published - 1:+.2%}"]
        rows.append([name, f"{published:,}", *cells, f"{modelled[name]:,}", f"{modelled[name] / published - 1:+.2%}"])
    return table(["kernel", "published cycles", "equations", "off by", "model", "off by"], rows)


def headline() -> str:
    """What the paper claims, what its equations say of its design, and what ours would do."""
    design, device = GPT.mapping, GPT.device
    prefill, token = design.prefill_seconds(32, device) * 1e3, 1 / design.decode_seconds(48, device)
    mine, bert, short = (
        ours("gpt2-medium", "u280", 32, 32),
        ours("bert-base", "u280", 512, 0),
        ours("bert-base", "u280", 128, 0),
    )
    mine_ms, mine_token, bert_ms = mine.first_token.seconds * 1e3, mine.tokens_a_second, bert.first_token.seconds * 1e3
    gpus = {
        name: estimate_gpu("gpt2-medium", "a100", prompt=32, output=32, software=name) for name in ("eager", "captured")
    }
    then = ALLO_TOKENS / ALLO_OVER_A100
    against = ", ".join(f"{mine_token / gpu.tokens_a_second:.2f} ({name})" for name, gpu in gpus.items())
    energy = ", ".join(f"{gpu.joules_a_token / mine.joules_a_token:.2f} ({name})" for name, gpu in gpus.items())
    all_layers = BERT.mapping.prefill_seconds(512, BERT.device) * 1e3
    trac = BERT_MS * 13.36 / all_layers
    return words(
        ["figure", "published", "the paper's design by its equations", "ours (estimate)"],
        [
            ["prefill against DFX, GPT-2 345M", "2.16 times",
             f"{DFX_PREFILL_MS / prefill:.2f} times: {prefill:.1f} ms against DFX's {DFX_PREFILL_MS}, [32:32]",
             f"{DFX_PREFILL_MS / mine_ms:.1f} times: {mine_ms:.2f} ms"],
            ["decoding against DFX", "1.10 times",
             f"{token / DFX_TOKENS:.2f} times: {token:.0f} tokens/s against DFX's {DFX_TOKENS}, [32:32]",
             f"{mine_token / DFX_TOKENS:.1f} times: {mine_token:,.0f} tokens/s"],
            ["decoding against an A100", "1.9 times",
             f"{token / then:.1f} times the {then:.0f} tokens/s of Allo's A100", f"{against} times our A100 in FP16"],
            ["energy of a token against an A100", "5.69 times",
             "power was not found; 5.69 / 1.9 makes the A100's 3.0 times the board's",
             f"{energy} times our A100, both at their most"],
            ["BERT-base, 512 tokens", f"{BERT_MS} ms, 38.45 samples/s", f"{all_layers:.1f} ms (see below)",
             f"{bert_ms:.2f} ms, {1e3 / bert_ms:.1f} samples/s (W8A8, {bert.design.kind})"],
            ["BERT against TRAC", "13.36 times", f"{trac:.2f} times the 347.5 ms that this implies",
             f"{trac * all_layers / bert_ms:.1f} times the same"],
            ["BERT against FQ-BERT", "3.66 times", f"{4 * FQ_BERT_MS / all_layers:.2f} times 4 x {FQ_BERT_MS} ms",
             f"{FQ_BERT_MS / (short.first_token.seconds * 1e3):.1f} times {FQ_BERT_MS} ms, "
             f"{short.first_token.seconds * 1e3:.2f} ms for its 128 tokens"],
        ],
    )  # fmt: skip


def resources() -> str:
    """What the paper's designs take, and ours for the same networks."""

    def counts(found: Resources) -> list[str]:
        return [f"{getattr(found, name):,g}" if name == "bram36" else f"{getattr(found, name):,.0f}" for name in COUNTS]

    gpt, bert = ours("gpt2-medium", "u280", 128, 64), ours("bert-base", "u280", 512, 0)
    return table(
        ["design", "DSP", "BRAM36", "URAM", "LUT", "FF"],
        [
            ["GPT-2 345M, published", *counts(GPT.resources)],
            [f"gpt2-medium, ours, {gpt.design.kind}", *counts(gpt.resources)],
            ["BERT-base, published", *counts(BERT.resources)],
            [f"bert-base, ours, {bert.design.kind}", *counts(bert.resources)],
        ],
    )


def stages() -> str:
    """The stages that are published of BERT-base beside the modelled kernels of one layer."""
    ms = {name: cycles / (BERT.mapping.clock_mhz * 1e3) for name, cycles in kernel_cycles(BERT.mapping, 512).items()}
    published = {"QKV": (4.86, ("qkv",)), "attention and projection": (14.63, ("qk", "av", "projection")),
                 "FFN": (19.81, ("ffn1", "ffn2"))}  # fmt: skip
    rows = []
    for name, (figure, parts) in published.items():
        slowest = max(parts, key=lambda part: ms[part])
        rows.append([name, f"{figure} ms", f"{ms[slowest]:.2f} ms ({slowest}, the slowest of it)"])
    return words(["stage", "published", "one layer by the model, 512 tokens at 245 MHz"], rows)


def largest() -> str:
    """What the equations would allow at most."""
    device, rows = load_device("u280"), []
    for model in ("gpt2-medium", "bert-base"):
        for bits in (8, 4):
            network = load_network(model)
            found = largest_mapping(network, device, tokens=128, weight_bits=bits)
            tightest = max(found.constraints(device, 128), key=lambda one: one.used)
            macs = " / ".join(f"{found.macs[unit]:,}" for unit in ("q", "a1", "f1"))
            decode = f"{1 / found.decode_seconds(128, device):,.0f} tokens/s" if network.causal else ""
            rows.append(
                [f"{model}, {bits} bits", str(found.layers), macs, f"{tightest.name} ({tightest.used:.0%})",
                 f"{found.prefill_seconds(128, device) * 1e3:.2f} ms", decode]
            )  # fmt: skip
    return table(["network", "layers on chip", "M of q / a1 / f1", "bound by equation", "prefill", "decoding"], rows)


def maps() -> str:
    """Where our design wins against an A100, over powers of two of both lengths."""
    rows = []
    for bits in (8, 4):
        for software in ("captured", "eager"):
            found = compare("gpt2-medium", "u280", "a100", weight_bits=bits, software=software)
            point = found.at(128, 128)
            assert point is not None
            cells = [f"{found.wins(one)} of {len(found.points)}, {point.ratio(one):.2f}" for one in METRICS]
            rows.append([f"W{bits}A8, {found.points[0].ours.design.kind}", software, *cells])
    return table(["ours", "the A100's kernels", *METRICS], rows)


def field() -> str:
    """The field's figures, and ours for the same work."""
    rows = []
    for row in yaml.safe_load((HERE / "published.yaml").read_text()):
        rows.append([row[name] for name in ("system", "board", "work", "figure", "source")] + [_estimate(row)])
    return words(["system", "board and format", "model", "published", "source", "ours (estimate)"], rows)


def _estimate(row: dict[str, Any]) -> str:
    if "none" in row:
        return f"none: {row['none']}"
    try:
        return in_words(ours(**row["ours"]))
    except InputError as error:
        return f"none: {error}"


def page() -> str:
    """The whole of docs/paper.md."""
    design, device = GPT.mapping, GPT.device
    network = BERT.mapping.network
    macs = network.layers * network.layer_macs(512)
    rate = macs / (BERT_MS / 1e3 * BERT.mapping.clock_mhz * 1e6)
    all_layers = BERT.mapping.prefill_seconds(512, BERT.device) * 1e3
    cycles = kernel_cycles(design, 32)
    chain = sum(cycles[name] for name in ("qkv", "qk", "softmax", "av", "projection", "ffn1"))
    return Template((HERE / "paper_template.md").read_text()).substitute(
        kernels=kernels(), headline=headline(), resources=resources(), stages=stages(), largest=largest(),
        maps=maps(), field=field(),
        bert_gmac=f"{macs / 1e9:.1f}", bert_macs_a_cycle=f"{rate:,.0f}",
        bert_macs_a_dsp=f"{rate / BERT.resources.dsp:.1f}", bert_one_layer=f"{all_layers / network.layers:.1f}",
        bert_all_layers=f"{all_layers:.1f}", imbalance=f"{design.imbalance(GPT.tokens):g}",
        prefill_equation=f"{design.prefill_seconds(32, device) * 1e3:.1f}",
        prefill_chain=f"{network_seconds(chain) * 1e3:.1f}",
        decode_equation=f"{1 / design.decode_seconds(48, device):.0f}",
    )  # fmt: skip


def network_seconds(cycles: int) -> float:
    """Time of all layers of GPT-2 345M where one takes so many cycles."""
    return GPT.mapping.network.layers * cycles / (GPT.mapping.clock_mhz * 1e6)


def main() -> int:
    """Prints the page, or writes it with --write."""
    if sys.argv[1:] not in ([], ["--write"]):
        print("usage: python -m bench.paper [--write]", file=sys.stderr)
        return 2
    text = page()
    if sys.argv[1:]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
