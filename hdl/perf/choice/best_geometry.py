"""The choice of a geometry: the best pipeline of a network that a device has room for."""

from ...model.network import Network
from ...resources import Resources
from ..designs.spatial_design import prompt_cycles
from ..geometry.pipeline_spec import PipelineSpec
from .climb import climb
from .one_pace import TOLERANCE, Cost, balanced

__all__ = ["choose_geometry"]


def choose_geometry(
    network: Network,
    max_length: int,
    available: Resources,
    *,
    rows: int = 4,
    channels: int = 24,
    cache_channels: int = 0,
    cost: Cost | None = None,
    packed: bool = False,
) -> PipelineSpec:
    """The best geometry for sequences of up to ``max_length`` tokens; of those about as good, one with fewer DSPs.

    First the best whose arrays keep one pace, then what single steps from there gain.

    Args:
        rows: tokens a tile.
        channels: memory channels for weights.
        cache_channels: memory channels for a decoder's keys, and as many for its values; with 0 these lie on chip.
        cost: what counts; by default the cycles of a run of ``max_length`` tokens through all layers.
        packed: arrays can have weights of 4 bits.

    Raises:
        InputError: where even the smallest does not fit, with the resource that lacks and by how much.
    """

    def cycles(spec: PipelineSpec) -> float:
        return prompt_cycles(spec, max_length, network.layers)

    cost = cost or cycles
    start = balanced(
        network, max_length, available, cost, rows=rows, channels=channels, cache_channels=cache_channels, packed=packed
    )
    climbed = climb(network, start, available, cost, channels=channels, packed=packed)
    return start if cost(start) <= TOLERANCE * cost(climbed) else climbed
