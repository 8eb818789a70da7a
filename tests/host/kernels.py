"""Kernels of small designs in a simulation, with the driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import spatial_llm
from spatial_llm.accelerator import Accelerator

from hdl.model.quantised import Quantised
from hdl.perf.geometry.pipeline_spec import PipelineSpec
from hdl.top.kernel.image_file import write_image
from hdl.top.kernel.kernel_spec import KernelSpec
from sim.xrt import SimulatedXrt


@contextmanager
def driven(pipeline: PipelineSpec, model: Quantised, folder: Path) -> Iterator[tuple[SimulatedXrt, Accelerator]]:
    """A design's kernel with a model in its memory."""
    spec = KernelSpec(pipeline)
    write_image(folder / "image", model, spec)
    with SimulatedXrt(spec, threads=1, optimise="-O0") as xrt:
        with spatial_llm.load("any.xclbin", folder / "image", xrt=xrt, patience=inf) as accelerator:
            yield xrt, accelerator
