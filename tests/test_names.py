"""The names of families and of operators stand in the files of the families, the presets and the kernels alone.

Code that knows such a name works only for the families that have it. `EXCEPTIONS` lists the files that still know one.
"""

import ast
import re
from pathlib import Path

import hdl
from hdl.model.families import FAMILIES
from hdl.model.load import load_network, networks
from hdl.model.network import Network

ROOT = Path(hdl.__file__).parents[1]

OWN = ("hdl/model/families", "hdl/kernels")
"""Where the names belong, beside the presets, which are no code."""

GENERAL = {"activation", "context", "gated", "head", "keys", "norm", "patches", "projection", "queries"}
"""Names of operators that are also general words of the field, and of Python."""

EXCEPTIONS = {
    "hdl/model/gguftokens.py": ({"gpt2", "llama", "qwen2"}, "GGUF's names of kinds of tokenisers"),
    "hdl/model/origin.py": ({"gpt2"}, "tiny-gpt2 is a preset, whose trained weights come with the project"),
    "hdl/model/tokens.py": ({"bert"}, "the tokeniser that random weights of its vocabulary get"),
    "hdl/perf/comparison/gpu.py": ({"llama"}, "a source that it cites measured this model"),
    "hdl/perf/paper/kernels.py": ({"ffn1", "ffn2", "qkv"}, "the paper's own names"),
    "hdl/perf/partitioning/share.py": ({"llama"}, "not changed yet"),
    "sim/formal.py": ({"opt"}, "passes of Yosys begin with it"),
    "sim/mapping.py": ({"opt"}, "passes of Yosys begin with it"),
    "sim/demonstration.py": ({"bert", "gpt2"}, "not changed yet"),
}
"""Files with the names that they may have, each with the reason."""

ANY = {
    "layers": 1, "hidden": 16, "heads": 2, "intermediate": 32, "channels": 3, "image_size": 8, "patch_size": 4,
    "norm_eps": 1e-12, "activation": "gelu", "kv_heads": 2, "max_positions": 8, "vocabulary": 8,
}  # fmt: skip
"""The fields of a network of any family."""


def names() -> set[str]:
    """The names of all families, and of the operators of their graphs."""
    found = [load_network(name) for name in networks()]
    found += [Network.of(name, name, ANY) for name in FAMILIES.keys() - {network.family for network in found}]
    graphs = [graph for one in found for graph in (one.embedding.graph, one.layer, one.head, one.closing)]
    return set(FAMILIES) | {operator.name for graph in graphs for operator in graph or ()}


def words(path: Path) -> set[str]:
    """The words of the identifiers and the strings of a file, without its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [
        text
        for node in nodes
        if id(node) not in prose
        for text in (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "value"))
        if isinstance(text, str)
    ]
    split = re.sub("(?<=[a-z0-9])(?=[A-Z])", " ", " ".join(texts)).lower()
    return set(re.findall("[a-z0-9]+", split))


def test_names_stand_in_the_files_of_families_alone() -> None:
    wanted = names() - GENERAL
    assert {"qkv", "ffn1", "norm2", "residual1", "gpt2", "deit"} <= wanted
    found = {}
    for path in sorted([*(ROOT / "hdl").rglob("*.py"), *(ROOT / "sim").rglob("*.py")]):
        own = path.relative_to(ROOT).as_posix()
        if not own.startswith(OWN) and (known := words(path) & wanted):
            found[own] = known
    assert found == {path: known for path, (known, _) in EXCEPTIONS.items()}
