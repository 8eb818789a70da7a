"""The analytical model of https://arxiv.org/abs/2312.15159, section 4, as it stands there: a mapping of a layer's
units, the constraints of a device (equations 1 to 4), and the latencies (equations 5 to 7).

found = largest_mapping(load_network("gpt2-medium"), load_device("u280"), tokens=128)
found.macs["q"], found.prefill_seconds(128), found.decode_seconds(192)

It leaves out softmax, LayerNorm, the activation, and how a pipeline fills; `hdl.perf.paper.kernels` models these, and
`hdl.perf.estimate` the designs of our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType

from ...errors import InputError
from ...model.network import Network
from ..designs.constraints import Constraint, binding
from ..device import Device, devices, load_device

__all__ = ["UNITS", "WEIGHTED", "PaperMapping", "balanced", "check_fpga", "largest_mapping"]

UNITS = ("q", "k", "v", "p", "a1", "a2", "f1", "f2")
"""The matrix units of a layer: Q, K, V and projection, QK' and AV, and the two of the feed-forward part."""

WEIGHTED = ("q", "k", "v", "p", "f1", "f2")
"""Those that hold weights; the others multiply activations with each other."""

BRAM_BITS = 36
"""The width of a BRAM36's port, b_BRAM in equation 3."""

BRAM_SIZE = 36 * 1024
"""Bits of a BRAM36, S_BRAM in equation 3."""

FIFOS = 16
"""FIFOs of a layer beside the residual's, in equation 2."""

MACS_A_DSP = 2
"""Products a cycle of a DSP48E2 where both factors have at most 8 bits; else it makes one."""


@dataclass(frozen=True, kw_only=True)
class PaperMapping:
    """A layer's units on a device, in the paper's terms.

    ``macs``: multiplications a cycle M of each of `UNITS`. ``layers``: C, the layers on chip at a time. ``reuse``: r of
    each unit, the tokens that share a weight as it is read, so M / r weights are read a cycle. ``packed``: k, values in
    a word of memory. ``fifo_depth``: s, values that a FIFO holds. ``double_buffered``: whether a tile of weights is
    loaded while another is used.

    Raises:
        InputError: for units that are missing, counts below 1, more layers than there are, and a network of another
            structure than the paper's.
    """

    network: Network
    macs: Mapping[str, int]
    reuse: Mapping[str, int] = field(default_factory=lambda: MappingProxyType(dict.fromkeys(UNITS, 1)))
    layers: int = 1
    weight_bits: int = 8
    activation_bits: int = 8
    clock_mhz: float = 300.0
    packed: int = 1
    fifo_depth: int = 32
    double_buffered: bool = True

    def __post_init__(self) -> None:
        network = self.network
        if network.gated or network.kv_heads != network.heads or network.heads * network.head_size != network.hidden:
            raise InputError(
                f"model {network.name!r} must have two feed-forward matrices and heads that share its hidden features "
                f"for the paper's equations, not {network.kv_heads} key heads for {network.heads} query heads"
                f"{' and a gate' if network.gated else ''}; estimate it instead"
            )
        for name, values in (("macs", self.macs), ("reuse", self.reuse)):
            if set(values) != set(UNITS):
                raise InputError(f"{name} must be given for {', '.join(UNITS)}, not for {', '.join(values)}")
            if wrong := [unit for unit in UNITS if values[unit] < 1]:
                raise InputError(f"{name} of unit {wrong[0]} must be at least 1, not {values[wrong[0]]}")
        if not 1 <= self.layers <= network.layers:
            raise InputError(
                f"layers on chip must be 1 to {network.layers}, those of model {network.name!r}, not {self.layers}"
            )

    @property
    def weights_a_cycle(self) -> dict[str, float]:
        """M / r of each unit."""
        return {unit: self.macs[unit] / self.reuse[unit] for unit in UNITS}

    # Section 4.1: the work.

    def work(self, tokens: int, context: int | None = None) -> dict[str, int]:
        """Multiplications of a layer's units (table of section 4.1): of a prompt of ``tokens``, or, with ``context``,
        of one token of an output behind so many."""
        d, inner = self.network.hidden, self.network.intermediate
        rows, keys = (tokens, tokens) if context is None else (1, context + 1)
        attention = dict.fromkeys(("a1", "a2"), rows * keys * d)
        return dict.fromkeys("qkvp", rows * d * d) | attention | dict.fromkeys(("f1", "f2"), rows * d * inner)

    # Section 4.2: the constraints.

    @property
    def layer_bytes(self) -> float:
        """S_param (equation 2): the weights of a layer, (4 d^2 + 2 d d_FFN) b_W."""
        d, inner = self.network.hidden, self.network.intermediate
        return (4 * d * d + 2 * d * inner) * self.weight_bits / 8

    @property
    def tile_bytes(self) -> float:
        """S_tile (equation 2): the weights in use, b_W times the sum of M, twice that when double-buffered."""
        return (2 if self.double_buffered else 1) * sum(self.macs[unit] for unit in WEIGHTED) * self.weight_bits / 8

    def cache_bytes(self, tokens: int) -> float:
        """S_KV (equation 2): 4 l_max d b_A, keys and values, double-buffered."""
        return 4 * tokens * self.network.hidden * self.activation_bits / 8

    def fifo_bytes(self, tokens: int) -> float:
        """S_FIFO (equation 2): 16 s b_A + l d b_A; the residual's FIFO holds all tokens, else it deadlocks."""
        return (FIFOS * self.fifo_depth + tokens * self.network.hidden) * self.activation_bits / 8

    def ports(self, unit: str, tokens: int) -> float:
        """R (equation 3): memory blocks that feed a unit, ceil(s b_BRAM / ((M / r) S_BRAM)) M / r / k.

        s is what the unit's buffer holds: its tile of weights, and for QK' and AV the keys or values of all tokens.
        """
        banks = self.weights_a_cycle[unit]
        if unit in WEIGHTED:
            held = self.macs[unit] * (2 if self.double_buffered else 1)
        else:
            held = tokens * self.network.hidden
        return ceil(held * BRAM_BITS / (banks * BRAM_SIZE)) * banks / self.packed

    @property
    def bandwidth(self) -> float:
        """The sum of C B (equation 4), with B = b_W M / r f of each unit with weights: bytes a second."""
        return self.layers * self.weight_bits / 8 * self._weights_read * self.clock_mhz * 1e6

    @property
    def _weights_read(self) -> float:
        """Weights a cycle of all units of a layer."""
        return sum(self.weights_a_cycle[unit] for unit in WEIGHTED)

    def constraints(self, device: Device, tokens: int) -> tuple[Constraint, ...]:
        """Equations 1 to 4 on ``device``, for sequences of up to ``tokens``.

        The paper's M_tot is two products in each DSP where both factors have at most 8 bits; its blocks of memory are
        BRAM36 and URAM together, each counted as one. It asks for less than there is, we for no more.
        """
        check_fpga(device)
        resources, c = device.resources, self.layers
        products = MACS_A_DSP if max(self.weight_bits, self.activation_bits) <= 8 else 1
        on_chip = (resources.bram36 * BRAM_SIZE + resources.uram * 72 * 4096) / 8
        blocks = sum(c * self.ports(unit, tokens) for unit in WEIGHTED)
        blocks += 2 * c * sum(self.ports(unit, tokens) for unit in ("a1", "a2"))
        buffers = self.tile_bytes + self.cache_bytes(tokens) + self.fifo_bytes(tokens)
        return (
            Constraint(
                name="1 compute", needed=c * sum(self.macs.values()), available=products * resources.dsp,
                unit="MAC a cycle",
            ),
            Constraint(
                name="2 off-chip memory", needed=c * self.layer_bytes / 1e9, available=device.memory.capacity_gb,
                unit="GB",
            ),
            Constraint(name="2 on-chip memory", needed=c * buffers / 1e6, available=on_chip / 1e6, unit="MB"),
            Constraint(
                name="3 memory ports", needed=blocks, available=resources.bram36 + resources.uram, unit="blocks"
            ),
            Constraint(
                name="4 bandwidth", needed=self.bandwidth / 1e9, available=device.memory.bandwidth_gb_s, unit="GB/s"
            ),
        )  # fmt: skip

    # Section 4.3: the latencies.

    def memory_cycles(self, device: Device) -> float:
        """T_mem: cycles in which the off-chip memory gives a layer's weights."""
        return self.layer_bytes / (device.memory.bandwidth_gb_s * 1e9) * self.clock_mhz * 1e6

    def prefill_cycles(self, tokens: int, device: Device | None = None) -> float:
        """T_prefill f (equation 5): N/C (l d^2/M_k + C max(l d^2/M_k, l^2 d/M_a1, l d d_FFN/M_f1, T_mem)).

        Without ``device``, T_mem is left out.
        """
        return self._run(self.work(tokens), device)

    def prefill_seconds(self, tokens: int, device: Device | None = None) -> float:
        """T_prefill (equation 5)."""
        return self.prefill_cycles(tokens, device) / (self.clock_mhz * 1e6)

    def decode_cycles(self, context: int, device: Device | None = None) -> float:
        """T_decode f (equation 6), of one token: N/C (d^2/M_k + C max(d^2/M_k, (l_max+1) d/M_a1, d d_FFN/M_f1, T_mem)).

        The paper's l_max is ``context`` here, the tokens before it.
        """
        return self._run(self.work(1, context), device)

    def decode_seconds(self, context: int, device: Device | None = None) -> float:
        """T_decode (equation 6)."""
        return self.decode_cycles(context, device) / (self.clock_mhz * 1e6)

    def _run(self, work: Mapping[str, int], device: Device | None) -> float:
        first, *others = (work[unit] / self.macs[unit] for unit in ("k", "a1", "f1"))
        memory = 0.0 if device is None else self.memory_cycles(device)
        return self.network.layers / self.layers * (first + self.layers * max(first, *others, memory))

    def imbalance(self, tokens: int) -> float:
        """How many times as long as the keys' unit the slowest works; 1 where equation 7 holds."""
        work = self.work(tokens)
        return max(work[unit] / self.macs[unit] for unit in UNITS) * self.macs["k"] / work["k"]


def balanced(network: Network, tokens: int, macs: int) -> dict[str, int]:
    """M of each unit in balance (equation 7): M of q, k, v and p, (l/d) M of a1 and a2, (d_FFN/d) M of f1 and f2."""
    attention, inner = (ceil(macs * size / network.hidden) for size in (tokens, network.intermediate))
    return dict.fromkeys("qkvp", macs) | dict.fromkeys(("a1", "a2"), attention) | dict.fromkeys(("f1", "f2"), inner)


def largest_mapping(
    network: Network,
    device: Device,
    *,
    tokens: int,
    reuse: int = 8,
    weight_bits: int = 8,
    activation_bits: int = 8,
    packed: int = 4,
    clock_mhz: float | None = None,
) -> PaperMapping:
    """The balanced mapping (equation 7) with the shortest prefill: for each C that divides the layers, the largest M
    that equations 1 to 4 allow.

    M goes up in steps of ``reuse``, so that whole weights are read a cycle.

    Raises:
        InputError: for a device that is no FPGA, and where not even the least M fits, with the constraint that it
            misses.
    """
    check_fpga(device)
    best: PaperMapping | None = None
    missed: Constraint | None = None
    most = MACS_A_DSP * device.resources.dsp
    for layers in (count for count in range(1, network.layers + 1) if network.layers % count == 0):
        # Upwards and to the end: by its ceiling, equation 3 may need less for a larger M.
        for macs in range(reuse, most // layers + 1, reuse):
            mapping = PaperMapping(
                network=network, macs=balanced(network, tokens, macs), reuse=dict.fromkeys(UNITS, reuse),
                layers=layers, weight_bits=weight_bits, activation_bits=activation_bits, packed=packed,
                clock_mhz=clock_mhz or device.clock_mhz,
            )  # fmt: skip
            found = mapping.constraints(device, tokens)
            if not found[0].met:
                missed = missed or found[0]
                break
            short = binding(found)
            missed = missed or short
            if short is None and (best is None or mapping.prefill_cycles(tokens) < best.prefill_cycles(tokens)):
                best = mapping
    if best is None:
        raise InputError(f"no mapping of model {network.name!r} fits device {device.name!r}: {missed}")
    return best


def check_fpga(device: Device) -> None:
    """Raises InputError for a device whose resources are not counted in DSPs and memory blocks."""
    if not device.slrs:
        known = ", ".join(name for name in devices() if load_device(name).slrs)
        kind = "a GPU" if device.kind == "gpu" else "an FPGA of another kind"
        raise InputError(f"device {device.name!r} must be an FPGA with DSPs, not {kind}; known: {known}")
