"""What the driver must know of a kernel, for JSON."""

from dataclasses import asdict
from typing import Any

from ...card.registers import INFORMATION
from ...card.report import REPORT_BEATS
from .kernel_spec import KernelSpec

__all__ = ["describe_kernel"]


def describe_kernel(spec: KernelSpec) -> dict[str, Any]:
    """The description of a kernel.

    ``name``; ``hash``, hexadecimal; ``arguments`` in their order, each with its ``bus`` (none for a number);
    ``report``: the place in bytes and the bytes of each register in the report at the beginning of the answer's buffer;
    ``answers``: the byte at which the answers begin; ``image``: the beats of each channel, without the header's;
    ``cache``: the beats of each channel of keys and values; ``sizes`` that a request must keep to.
    """
    pipeline = spec.pipeline
    sizes: dict[str, int] = {"positions": pipeline.positions, "layers": pipeline.max_layers}
    if spec.decodes:
        decoder = spec.decoder
        sizes |= {"vocabulary": decoder.vocabulary, "candidates": decoder.largest}
    else:
        names = ("rows", "lanes", "hidden", "tile_beats")
        sizes |= {name: getattr(pipeline, name) for name in names} | {"memory_beats": spec.tile_beats}
    return {
        "name": spec.name,
        "hash": f"{spec.design_hash:016x}",
        "arguments": [asdict(argument) for argument in spec.registers.arguments],
        "report": {one.name: [one.offset - INFORMATION, one.bits // 8] for one in spec.registers.information},
        "answers": REPORT_BEATS * spec.master.beat_bytes,
        "image": dict(spec.image_channels),
        "cache": dict(spec.cache_channels),
        "sizes": sizes,
    }
