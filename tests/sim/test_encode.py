"""What `sim` prints of an encoder's runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hdl.model.load import load_model
from hdl.perf.device import load_device
from sim import encode


@pytest.mark.parametrize("text", ["[/b] of [bold]", ":smile:", "café [0]"])
def test_texts_are_shown_as_they_are_with_times_at_the_devices_clock(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_model("tiny-bert")
    prepared: Any = SimpleNamespace(
        quantised=SimpleNamespace(network=network, pooling="mean"), trained=True, told=lambda: "weights"
    )
    spec: Any = SimpleNamespace(resources=SimpleNamespace(dsp=10), macs=20)
    vector = np.array([0.6, 0.8])
    result = encode.Result(text, 3, None, vector, vector, 150_000)
    device = load_device("u280").model_copy(update={"clock_mhz": 200})
    encode.report([result], prepared, spec, device, "verilator")
    lines = capsys.readouterr().out.splitlines()
    assert any("ms at 200 MHz" in line for line in lines)
    (row,) = [line for line in lines if text in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    limit = network.layers * network.layer_macs(3) / 20 / 150_000
    assert cells == [text, "3", "1.0000", "150,000", f"{limit:.1%}", "0.750"]
    values = f"{3 * network.layers * network.hidden:,}"
    assert lines[-1] == f"bit-exact: all {values} values that left a layer equal the integer reference's"
