"""A point of an exploration: a design of either kind as a plain value, which files hold and `emit` takes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ...errors import InputError
from ...model.network import Network
from ..designs.spatial_design import SpatialDesign
from ..designs.streamed_design import StreamedDesign
from ..geometry.arrays import Arrays, ArrayShape
from ..geometry.decoder_layer_spec import DecoderLayerSpec
from ..geometry.pipeline_spec import PipelineSpec
from ..geometry.streamed_spec import StreamedSpec

__all__ = ["DesignPoint"]

SHAPES = ("shape", "scores", "sums")
"""Fields of a streamed geometry that are an array's shape."""

OF_NETWORK = ("network", "layer", "head")
"""Fields of a geometry that are the network's."""

PLAIN = {"device": str, "copies": int, "weight_bits": int, "clock_mhz": int}
"""Fields beside network and geometry, with their types."""


@dataclass(frozen=True, kw_only=True)
class DesignPoint:
    """A design: its geometry and, beside it, ``copies`` of a layer's hardware (a streamed design is one),
    ``weight_bits`` in memory, ``clock_mhz``.

    Raises:
        ValueError: for copies of a streamed design.
    """

    network: Network
    device: str
    spec: PipelineSpec | StreamedSpec
    weight_bits: int
    clock_mhz: int
    copies: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.spec, StreamedSpec) and self.copies != 1:
            raise ValueError(f"copies of a streamed design must be 1, not {self.copies}")

    @property
    def kind(self) -> str:
        """What its design is: spatial or streamed."""
        return self.design.kind

    @property
    def design(self) -> SpatialDesign | StreamedDesign:
        """What estimates are made of."""
        if isinstance(self.spec, StreamedSpec):
            return StreamedDesign(self.network, self.spec, self.weight_bits)
        return SpatialDesign(self.network, self.spec, self.weight_bits, self.copies)

    @property
    def flight(self) -> int:
        """Sequences in flight that fill the design."""
        return self.design.flight

    @property
    def geometry(self) -> dict[str, Any]:
        """The fields of the geometry; the network stands beside it."""
        found = {field.name: getattr(self.spec, field.name) for field in fields(self.spec)}
        return {name: value for name, value in found.items() if name not in OF_NETWORK}

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "network": asdict(self.network),
            "kind": self.kind,
            "geometry": {name: plain(value) for name, value in self.geometry.items()},
            **{name: getattr(self, name) for name in PLAIN},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Self:
        """The point that `as_dict` made such values of; others beside them are ignored.

        Raises:
            InputError: for what is no point, with what lacks or is wrong.
        """
        try:
            network = Network(**values["network"])
            spec = built(network, values["kind"], values["geometry"])
            plain = {name: values[name] for name in PLAIN}
            for name, value in plain.items():
                if type(value) is not PLAIN[name]:
                    raise ValueError(f"{name} is {value!r}")
            return cls(network=network, spec=spec, **plain)
        except KeyError as error:
            raise InputError(f"{source} must be a point as explore writes them, but lacks {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{source} must be a point as explore writes them: {error}") from None


def plain(value: Any) -> Any:
    """A field of a geometry as JSON has it."""
    if isinstance(value, Mapping):
        return {name: list(shape) for name, shape in value.items()}
    return list(value) if isinstance(value, tuple) else value


def restored(name: str, value: Any) -> Any:
    """The field ``name`` of a geometry of what `plain` made of it."""
    if name == "arrays":
        return Arrays(**value)
    if name in SHAPES:
        return ArrayShape(*value)
    return tuple(value) if isinstance(value, list) else value


def built(network: Network, kind: Any, values: Mapping[str, Any]) -> PipelineSpec | StreamedSpec:
    """The geometry of a kind from its fields as JSON has them."""
    geometry: dict[str, Any] = {name: restored(name, value) for name, value in values.items()}
    if kind == StreamedDesign.kind:
        return StreamedSpec(network=network, **geometry)
    if kind == SpatialDesign.kind:
        if network.head is None:
            return PipelineSpec(layer=network.layer, **geometry)
        return DecoderLayerSpec(layer=network.layer, head=network.head, **geometry)
    raise ValueError(f"kind is {kind!r}")
