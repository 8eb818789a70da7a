"""`KernelSpec`: the ports, arguments, registers and memory channels of a design as a kernel."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...card.axi import MasterSpec
from ...card.registers import Argument, RegisterMap
from ...channel import CHANNEL_BITS, MAX_BURST
from ...errors import InputError
from ...kernels.fetch import FetchSpec
from ...kernels.tokensampler import TokenSamplerSpec
from ...perf.geometry.decoder_layer_spec import MEMORY_LATENCY
from ...perf.geometry.decoder_spec import DecoderSpec
from ...perf.geometry.pipeline_spec import PipelineSpec
from ..memory_layout import memory_layout

__all__ = ["HOST", "KernelPort", "KernelSpec"]

HOST = "host"
"""The master for requests and answers."""

ID_BITS = 32

POINTERS = {HOST: ("request", "answer")}
"""The pointers of a master that has others than the one of its name."""


@dataclass(frozen=True)
class KernelPort:
    """An AXI4 master: its ``name``, the ``beats`` that a run reads at most (0: as the host asks), whether they are a
    channel of the ``image``, and whether it ``writes``, too."""

    name: str
    beats: int
    image: bool
    writes: bool

    @property
    def pointers(self) -> tuple[str, ...]:
        """The arguments that point to its buffers."""
        return POINTERS.get(self.name, (self.name,))

    @property
    def bus(self) -> str:
        """The prefix of its signals in Verilog."""
        return f"m_axi_{self.name}"


@dataclass(frozen=True)
class KernelSpec:
    """A design as a kernel.

    Raises:
        InputError: for a design whose tokens are wider than a beat of memory, or its tiles longer than a burst.
    """

    pipeline: PipelineSpec

    def __post_init__(self) -> None:
        if self.token_bits > CHANNEL_BITS:
            spec = self.pipeline
            raise InputError(
                f"tokens of a kernel's beat must have at most {CHANNEL_BITS} bits, not {self.token_bits} "
                f"({spec.rows} rows, {spec.lanes} lanes); use emit --flow vivado, or fewer lanes in a point file"
            )
        if self.tile_beats > MAX_BURST:
            raise InputError(f"tiles of a kernel must have at most {MAX_BURST} beats of memory, not {self.tile_beats}")

    @property
    def decodes(self) -> bool:
        """Whether it is a decoder."""
        return isinstance(self.pipeline, DecoderSpec)

    @property
    def decoder(self) -> DecoderSpec:
        """The pipeline of a decoder."""
        if not isinstance(self.pipeline, DecoderSpec):
            raise TypeError("kernel must be a decoder's")
        return self.pipeline

    @property
    def name(self) -> str:
        """The name of the top module and of the kernel."""
        return f"spatial_{'decoder' if self.decodes else 'encoder'}"

    @property
    def master(self) -> MasterSpec:
        """The sizes of each master."""
        return MasterSpec()

    @cached_property
    def ports(self) -> tuple[KernelPort, ...]:
        """The masters: for requests and answers, for each channel of the image, and for keys and values off chip."""
        image = (KernelPort(name, beats, True, False) for name, beats in self.image_channels.items())
        held = (KernelPort(name, beats, False, True) for name, beats in self.cache_channels.items())
        return (KernelPort(HOST, 0, False, True), *image, *held)

    @cached_property
    def image_channels(self) -> Mapping[str, int]:
        """The beats of each channel of the image, by the channel's name."""
        spec = self.pipeline
        beats = {name: max(first + count for run in spec.segments(name).values() for first, count in run)
                 for name in ("parameters", *spec.products)}  # fmt: skip
        if isinstance(spec, DecoderSpec):
            beats["parameters"] = spec.embedding_base + spec.embedding.beats
        weights = {
            f"weights_{name}_{index}": beats[name]
            for name in spec.products
            for index in range(spec.linear(name).channels)
        }
        return {"parameters": beats["parameters"], **weights}

    @cached_property
    def cache_channels(self) -> Mapping[str, int]:
        """The beats of each channel of keys and values off chip, by the channel's name."""
        spec = self.pipeline
        memories = spec.memories if isinstance(spec, DecoderSpec) else {}
        return {
            f"{name}_{index}": memory.beats for name, memory in memories.items() for index in range(memory.channels)
        }

    @cached_property
    def registers(self) -> RegisterMap:
        """The registers: pointers, then numbers; counters."""
        pointers = (Argument(name, 64, port.bus) for port in self.ports for name in port.pointers)
        numbers = (
            ("tokens", "generate", "candidates", "stop", "temperature", "flags")
            if self.decodes
            else ("texts", "layers", "flags")
        )
        counters = (f"{kind}_{port.name}" for port in self.ports for kind in ("beats", "waits"))
        return RegisterMap(
            arguments=(*pointers, *(Argument(name) for name in numbers)),
            counters=("cycles", "answers", *counters),
            design_hash=self.design_hash,
        )

    @cached_property
    def design_hash(self) -> int:
        """64 bits that tell what an image must fit: the first bytes of the SHA-256 of the design and of its layout of
        memory."""
        told = json.dumps([repr(self.pipeline), memory_layout(self.pipeline)], sort_keys=True)
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little")

    @property
    def sampler(self) -> TokenSamplerSpec:
        """What draws a decoder's tokens."""
        found = self.decoder.candidates
        return TokenSamplerSpec(candidates=found.largest, token_bits=found.token_bits)

    @property
    def token_bits(self) -> int:
        """Bits of a beat of tokens."""
        return 16 * self.pipeline.rows * self.pipeline.lanes

    @property
    def beat_tokens(self) -> int:
        """Beats of tokens in a beat of memory."""
        return CHANNEL_BITS // self.token_bits

    @property
    def tile_beats(self) -> int:
        """Beats of memory of a tile of tokens."""
        return -(-self.pipeline.tile_beats // self.beat_tokens)

    @property
    def request(self) -> FetchSpec:
        """The reader of requests: token ids, or texts tile by tile."""
        ids = -(-self.pipeline.positions * ID_BITS // CHANNEL_BITS)
        return FetchSpec(max_beats=ids if self.decodes else self.tile_beats, latency_cycles=MEMORY_LATENCY)
