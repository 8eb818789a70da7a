"""What the golden file says of a design: hashes of its emission and its counted cycles.

``python -m tests.golden`` compares all designs with the file. ``--write`` records them anew. Names of designs restrict
both to these. A commit that changes a value says why.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hdl.model.load import load_model
from hdl.perf.choice.built import plan
from hdl.perf.device import Device, load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.perf.memory_timing import IDEAL, MemoryTiming
from hdl.perf.schedule.decoder_schedule import counted_decoder_cycles
from hdl.perf.schedule.encoder_schedule import counted_cycles
from hdl.top.emit import files_of

from ..top import designs as encoders
from ..top.decoder import designs as decoders

RTL = "rtl/"
"""Where an emission has its Verilog."""

FILE = Path(__file__).parent / "golden.json"

PLANNED: Mapping[str, int | None] = {
    "tiny-bert": None,
    "minilm-l6": None,
    "bert-base": None,
    "tiny-gpt2": None,
    "gpt2": 192,
}
"""Built-in models, with the longest text that their designs are for (None: the default)."""

TEST_DESIGNS: Mapping[str, PipelineSpec] = {
    **{f"test encoder {name}": getattr(encoders, name) for name in ("TINY", "ODD")},
    **{
        f"test decoder {name}": getattr(decoders, name)
        for name in ("TINY", "PACKED", "MIXED", "FAR", "ODD", "SMALL", "HEAVY", "DEEP", "MOVED")
    },
}

NAMES = (*PLANNED, *TEST_DESIGNS)


@cache
def device() -> Device:
    """The device of all designs."""
    return load_device("u280")


@cache
def spec_of(name: str) -> PipelineSpec:
    """The design of that name."""
    if name in TEST_DESIGNS:
        return TEST_DESIGNS[name]
    return plan(load_model(name), device(), max_length=PLANNED[name])


def counted(spec: PipelineSpec) -> dict[str, int]:
    """Counted cycles: of an encoder's runs; of a decoder's prompts, of tokens after others, with ideal memory and with
    the device's."""
    lengths = sorted({1, spec.positions // 2, spec.positions - 1, spec.positions})
    if not isinstance(spec, DecoderSpec):
        runs = [(tokens, layers) for tokens in lengths for layers in sorted({1, spec.max_layers})]
        return {f"{tokens} tokens, layers {layers}": counted_cycles(spec, tokens, layers) for tokens, layers in runs}
    found = {}
    for word, timing in {"ideal": IDEAL, "device": MemoryTiming.of_device(device())}.items():
        for tokens in lengths:
            found[f"prompt of {tokens}, {word}"] = counted_decoder_cycles(spec, tokens, 0, timing)
            found[f"token at {tokens - 1}, {word}"] = counted_decoder_cycles(spec, 1, tokens - 1, timing)
    return found


def emission(spec: PipelineSpec, name: str) -> dict[str, str]:
    """SHA-256 of the emitted Verilog, and of the other files."""
    files = files_of(spec, device(), name)
    verilog = {path.removeprefix(RTL): text for path, text in files.items() if path.startswith(RTL)}
    return {
        "verilog": digest(verilog),
        "others": digest({path: files[path] for path in files if not path.startswith(RTL)}),
    }


def digest(texts: Mapping[str, str]) -> str:
    """One SHA-256 of texts by name."""
    return hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()


def golden() -> dict[str, dict[str, Any]]:
    """What the file holds, by design."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return found


def checks() -> dict[str, Callable[[str], Any]]:
    """What is recorded of a design, by its key in the file."""
    return {"counted": lambda name: counted(spec_of(name)), "emission": lambda name: emission(spec_of(name), name)}
