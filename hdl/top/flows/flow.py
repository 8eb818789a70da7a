"""The flows of the vendor's tools that an emission can be for, and the devices that each flow takes."""

from enum import StrEnum

from ...errors import InputError
from ...perf.choice.built import FAMILY
from ...perf.device import Device

__all__ = ["PLATFORMS", "Flow", "check_flow", "default_flow"]


class Flow(StrEnum):
    """A flow."""

    VITIS = "vitis"
    """A kernel with AXI ports, which v++ links to the shell of a card."""

    VIVADO = "vivado"
    """The bare pipeline, implemented out of context."""


PLATFORMS = {
    "u280": "xilinx_u280_gen3x16_xdma_1_202211_1",
    "u50": "xilinx_u50_gen3x16_xdma_5_202210_1",
    "u55c": "xilinx_u55c_gen3x16_xdma_3_202210_1",
}
"""The Vitis platform of each device that has one: its last one that AMD published, as of Vitis 2023.2."""


def default_flow(device: Device) -> Flow:
    """The flow of a device where none is named."""
    return Flow.VITIS if device.name in PLATFORMS else Flow.VIVADO


def check_flow(device: Device, flow: Flow) -> None:
    """Refuses a device that a flow does not take.

    Raises:
        InputError: with the reason.
    """
    if device.family != FAMILY or device.part is None:
        raise InputError(f"device {device.name!r} must be of the family {FAMILY} for emit, not {device.family}")
    if flow is Flow.VITIS and device.name not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise InputError(f"flow vitis must be for a device with a Vitis platform ({known}), not {device.name!r}; "
                         "use --flow vivado")  # fmt: skip
