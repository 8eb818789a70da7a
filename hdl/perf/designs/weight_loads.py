"""What a decoder's weights take on their way out of memory, of products of 8 bits and of 4."""

from dataclasses import replace

from ...kernels.shared import weight_bytes
from ...model.network import Network
from ..geometry.decoder_spec import DecoderSpec
from ..geometry.pipeline_spec import PipelineSpec
from .phase import Loads, Phase

__all__ = ["loaded", "product_bytes"]


def product_bytes(spec: PipelineSpec, product: str, weights: int, bits: int) -> float:
    """Bytes of so many weights of a product, of so many ``bits`` each, or of those that a decoder that is built has."""
    return weight_bytes(weights, spec.weight_bits[product] if isinstance(spec, DecoderSpec) else bits)


def loaded(token: Phase, network: Network, spec: PipelineSpec, tail_bytes: float) -> Phase:
    """A token's phase as its weights come, in a decoder that is built with some of 8 bits and some of 4: these are
    unpacked at their channels' pace, however fast memory is, those come at memory's, and as the products come one by
    one, neither makes up for the other. A head of 8 bits is a tail, of which ``tail_bytes`` find no room before, since
    what the units let wait in the layers it cannot use. Where all have the same bits, the phase as it is.
    """
    if not isinstance(spec, DecoderSpec) or not spec.weight_bits.int8:
        return token
    weights = {one.name: network.layers * one.weights for one in network.operators} | {"head": network.head_weights}
    wide = sum(weights[name] for name in spec.weight_bits.int8)
    loads = Loads(spec.token_load * (1 - wide / sum(weights.values())), wide)
    if spec.weight_bits["head"] == 4:
        return replace(token, loads=loads)
    return replace(token, loads=loads, tail_cycles=spec.head_cycles(), tail_bytes=tail_bytes)
