"""The one choice of a design: what `estimate`, `describe`, `emit`, `report`, `compare` and `sim` speak of."""

from typing import NamedTuple

from ...errors import InputError
from ...model.network import Network
from ..designs.design import Design
from ..device import Device
from ..workload import Workload
from .built import built_design
from .estimated import estimated_design

__all__ = ["Choice", "choose"]


class Choice(NamedTuple):
    """A design. ``refusal``: why `emit` makes no design for the work, so that this one is only estimated; empty if
    `emit` makes it."""

    design: Design
    refusal: str = ""


def choose(network: Network, device: Device, workload: Workload) -> Choice:
    """The fastest design of a network on a device for a workload: of those that `emit` makes, if there is one; if not,
    of those that can be estimated.

    Raises:
        InputError: where no design fits, with what each kind of design lacks.
    """
    try:
        return Choice(built_design(network, device, workload))
    except InputError as error:
        return Choice(estimated_design(network, device, workload), str(error))
