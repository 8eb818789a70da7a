"""The driver of a kernel on a card: texts in, embeddings or text out.

    import spatial_llm
    with spatial_llm.load("build_dir/kernel.xclbin", "minilm-l6.image") as accelerator:
        vectors = accelerator.embed(["a text", "another one"])

It uses XRT's Python module ``pyxrt``, or a module with the same calls.
"""

from .accelerator import DecoderAccelerator, EncoderAccelerator, load
from .kernel import Code, RunError

__all__ = ["Code", "DecoderAccelerator", "EncoderAccelerator", "RunError", "load"]
