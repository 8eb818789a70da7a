"""The memory image of a model as a file: the contents of each channel with its header, and the model for the host.

The file is in the safetensors format. It has the tensors of a quantised model (`hdl.model.quantisedfile`), and for each
channel NAME ``channel.NAME``, uint8 [64 + beats, 64]: the header's page and the contents. The metadata have the
kernel's description (`describe_kernel`) and the model's tokeniser.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...card.image import HEADER_BEATS, IMAGE, Checksum, Header
from ...channel import BEAT_BYTES
from ...errors import InputError
from ...model.quantised import Quantised
from ...model.quantisedfile import FOREIGN, quantised_tensors
from ...model.safetensors import SafeTensors, write_header
from ...output import written
from ..image import image_parts
from .description import describe_kernel
from .kernel_spec import KernelSpec

__all__ = ["is_image", "write_image"]


def write_image(
    path: Path,
    model: Quantised,
    spec: KernelSpec,
    *,
    tokeniser: str | None = None,
    told: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda doing: None,
) -> None:
    """Writes the file, which appears when it is complete. The channels are made one unit after the other.

    Args:
        path: the file.
        model: the quantised model.
        spec: the kernel whose memory it is for.
        tokeniser: the text of the tokeniser's file, if the model has one.
        told: what the description says besides, as the model's name.
        progress: called with what is being done.

    Raises:
        InputError: where the file cannot be written.
    """
    tensors, metadata = quantised_tensors(model)
    about = describe_kernel(spec) | dict(told or {}) | {"tokeniser": tokeniser}
    layout = {
        f"{FOREIGN}{name}": (np.dtype(np.uint8), (HEADER_BEATS + beats, BEAT_BYTES))
        for name, beats in spec.image_channels.items()
    }
    layout |= {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    try:
        with written(path) as file:
            places = write_header(file, layout, metadata | {IMAGE: json.dumps(about)})
            for name, tensor in tensors.items():
                file.seek(places[name])
                file.write(np.ascontiguousarray(tensor).data)
            for number, (name, contents) in enumerate(channels(model, spec, progress)):
                file.seek(places[f"{FOREIGN}{name}"])
                file.write(channel_header(spec, number, contents).page.data)
                file.write(contents.data)
    except OSError as error:
        raise InputError(f"output file {path} cannot be written: {error.strerror}") from None


def channels(model: Quantised, spec: KernelSpec, progress: Callable[[str], None]) -> Any:
    """The contents of each channel with its name, in the order of the kernel's."""
    for unit, part in image_parts(model, spec.pipeline):
        progress(f"writing {unit}")
        for index, contents in enumerate(part):
            yield (unit if unit == "parameters" else f"weights_{unit}_{index}"), np.ascontiguousarray(contents)


def channel_header(spec: KernelSpec, number: int, contents: np.ndarray) -> Header:
    """The header of a channel of the image."""
    beats, checksum = len(contents), Checksum.of([contents]).value
    return Header(design_hash=spec.design_hash, channel=number, beats=beats, checksum=checksum)


def is_image(path: Path) -> bool:
    """Whether a file is what `write_image` wrote."""
    with suppress(InputError):
        return IMAGE in SafeTensors(path).metadata
    return False
