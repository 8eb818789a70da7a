"""GPUs: the roofline of a network on a GPU, with efficiencies and launches as a table of measured and assumed figures.

from hdl.perf import estimate_gpu
found = estimate_gpu("gpt2-medium", "a100", prompt=128, output=64)
found.first_token.seconds, found.token.seconds, found.tokens_a_second

A phase takes the longer of its arithmetic and its memory traffic, each at a share of the peak, and what its layers'
kernels take to be launched. Traffic is weights, keys and values; activations are taken to stay in caches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...errors import InputError
from ...model.load import load_network
from ...model.network import Network
from ..device import Device, devices, load_device
from ..estimate import Timing
from ..workload import Workload

__all__ = ["SOFTWARE", "GpuEfficiency", "GpuEstimate", "estimate_gpu"]

FORMAT_BYTES = {"fp16": 2, "bf16": 2, "int8": 1}
"""Bytes of a weight by number format. Keys and values stay at 16 bits in all of them."""

CACHE_BYTES = 2
"""Bytes of a key's or value's feature."""


@dataclass(frozen=True, kw_only=True)
class GpuEfficiency:
    """What software gets out of a GPU: shares of the peak operations and of the peak bandwidth, seconds a layer in
    which nothing runs because kernels are launched, and where each comes from."""

    compute: float
    memory: float
    launch_seconds: float
    sources: Mapping[str, str]


def launched(seconds: float, source: str) -> GpuEfficiency:
    """Software that reaches the same shares of the peaks, and launches a layer's kernels in so many ``seconds``."""
    return GpuEfficiency(
        compute=0.5,
        memory=0.88,
        launch_seconds=seconds,
        sources={
            "compute": "assumption, large products and attention of one prompt together",
            "memory": (
                "measured: Llama 3.1 8B in BF16 on an H100 SXM (3,350 GB/s), captured, 5.1 ms a token (cloudai.pt, "
                "'CUDA Graphs + torch.compile', quoting Spheron 2026), of which 7.5 G weights at the peak are 4.48 ms"
            ),
            "launch_seconds": source,
        },
    )


SOFTWARE: Mapping[str, GpuEfficiency] = MappingProxyType(
    {
        "captured": launched(10e-6, "assumption, ten kernels a layer, 1 us between them in a captured graph"),
        "eager": launched(
            326e-6,
            "derived: Allo decodes GPT-2 345M at 204 tokens/s (arXiv 2604.12618), 1.7 times an A100 (arXiv "
            "2404.04815); of the A100's 8.33 ms, weights take 0.52, which leaves 326 us for each of 24 layers. "
            "Measured on an H100 SXM (see memory): 103 us, 8.4 ms eager less 5.1 captured over 32 layers",
        ),
    }
)
"""By how the software runs: ``captured``, the kernels of a token launched as one graph; ``eager``, one by one, as the
GPUs that FPGAs are compared with in publications."""


@dataclass(frozen=True, kw_only=True)
class GpuEstimate:
    """What a GPU does with a network.

    ``prompt`` and ``output`` tokens of each of ``sequences``, in ``number_format``. ``first_token``: the prompts of all
    sequences together, for an encoder the whole of its work; ``token``: one token of every sequence in the middle of
    the output, None where there is none. The limits are those at the peaks.
    """

    network: Network
    device: Device
    prompt: int
    output: int
    sequences: int
    number_format: str
    software: str
    first_token: Timing
    token: Timing | None
    watts: float
    watts_source: str

    @property
    def efficiency(self) -> GpuEfficiency:
        """The shares and launches that the figures rest on."""
        return SOFTWARE[self.software]

    @property
    def seconds(self) -> float:
        """The whole work: the prompts together, then the tokens of all sequences together."""
        token = self.token.seconds if self.token else 0.0
        return self.first_token.seconds + max(0, self.output - 1) * token

    @property
    def tokens_a_second(self) -> float:
        """Output tokens of all sequences per second while decoding; for an encoder, tokens of its text per second."""
        if self.token is None:
            return self.sequences * self.prompt / self.first_token.seconds
        return self.sequences / self.token.seconds

    @property
    def joules_a_token(self) -> float:
        """Energy per output token; for an encoder, per token of its text."""
        return self.watts / self.tokens_a_second

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON: seconds, watts."""
        return {
            "model": self.network.name,
            "device": self.device.name,
            "prompt": self.prompt,
            "output": self.output,
            "sequences": self.sequences,
            "format": self.number_format,
            "software": self.software,
            **{
                name: None if one is None else {
                    "seconds": one.seconds, "limit_seconds": one.limit, "bound": one.bound, "ratio": one.ratio
                }
                for name, one in (("first_token", self.first_token), ("token", self.token))
            },
            "tokens_a_second": self.tokens_a_second,
            "seconds": self.seconds,
            "watts": self.watts,
            "watts_source": self.watts_source,
            "joules_a_token": self.joules_a_token,
        }  # fmt: skip


def estimate_gpu(
    model: str | Network,
    device: str | Device,
    *,
    prompt: int = 128,
    output: int | None = None,
    sequences: int = 1,
    number_format: str = "fp16",
    software: str = "captured",
) -> GpuEstimate:
    """The roofline of ``model`` on GPU ``device`` for prompts of ``prompt`` tokens and ``output`` tokens (64 where not
    given and the model has the positions; an encoder has none).

    Args:
        model: a network, the name of a built-in one, or the path of a `config.json`.
        device: a GPU, or the name of a built-in one.
        sequences: how many are worked on at once.
        number_format: of the weights and of the arithmetic; one that the device has.
        software: one of `SOFTWARE`.

    Raises:
        InputError: for what is out of range or unknown, for a device that is no GPU, and for a network that is larger
            than its memory.
    """
    network = load_network(model) if isinstance(model, str) else model
    gpu = load_device(device) if isinstance(device, str) else device
    _check(gpu, number_format, software)
    tokens = Workload.of(network, prompt=prompt, output=output, sequences=sequences).output
    weights = network.weights * FORMAT_BYTES[number_format]
    cache = network.layers * network.kv_features * CACHE_BYTES if network.causal else 0
    needed = (network.parameters * FORMAT_BYTES[number_format] + sequences * (prompt + tokens) * cache) / 1e9
    if needed > gpu.memory.capacity_gb:
        raise InputError(
            f"model {network.name!r} in {number_format} must be at most the {gpu.memory.capacity_gb:g} GB of device "
            f"{gpu.name!r}, with its keys and values, not {needed:.1f} GB"
        )

    def timing(macs: int, traffic: float) -> Timing:
        efficiency = SOFTWARE[software]
        compute = 2 * macs / (gpu.tops[number_format] * 1e12)
        memory = traffic / (gpu.memory.bandwidth_gb_s * 1e9)
        running = max(compute / efficiency.compute, memory / efficiency.memory)
        return Timing(
            seconds=running + network.layers * efficiency.launch_seconds, compute_limit=compute, memory_limit=memory
        )

    def macs(rows: int, context: int = 0) -> int:
        return sequences * (network.layers * network.layer_macs(rows, context) + network.head_weights)

    context = prompt + tokens // 2
    return GpuEstimate(
        network=network, device=gpu, prompt=prompt, output=tokens, sequences=sequences, number_format=number_format,
        software=software,
        first_token=timing(macs(prompt), weights + sequences * prompt * cache),
        token=timing(macs(1, context), weights + sequences * context * cache) if tokens else None,
        watts=gpu.power.watts, watts_source=gpu.power.source,
    )  # fmt: skip


def _check(gpu: Device, number_format: str, software: str) -> None:
    """Raises InputError for what no GPU, or not this one, has."""
    if gpu.kind != "gpu":
        known = ", ".join(name for name in devices() if load_device(name).kind == "gpu")
        raise InputError(f"device {gpu.name!r} must be a GPU, not an FPGA; known: {known}")
    if number_format not in gpu.tops or number_format not in FORMAT_BYTES:
        known = " or ".join(name for name in gpu.tops if name in FORMAT_BYTES)
        raise InputError(f"format of device {gpu.name!r} must be {known}, not {number_format!r}")
    if software not in SOFTWARE:
        raise InputError(f"software of a GPU must be {' or '.join(SOFTWARE)}, not {software!r}")
