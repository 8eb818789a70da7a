"""What `sim` prints of an encoder's runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hdl.perf.device import load_device
from sim import encode


@pytest.mark.parametrize("text", ["[/b] of [bold]", ":smile:", "café [0]"])
def test_texts_are_shown_as_they_are_with_times_at_the_devices_clock(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = SimpleNamespace(name="a model", layers=2, hidden=8)
    prepared: Any = SimpleNamespace(
        quantised=SimpleNamespace(spec=network, pooling="mean"), trained=True, told=lambda: "weights"
    )
    spec: Any = SimpleNamespace(resources=SimpleNamespace(dsp=10), layer_macs=lambda tokens: 1000 * tokens, macs=20)
    vector = np.array([0.6, 0.8])
    result = encode.Result(text, 3, None, vector, vector, 150_000)
    device = load_device("u280").model_copy(update={"clock_mhz": 200})
    encode.report([result], prepared, spec, device, "verilator")
    lines = capsys.readouterr().out.splitlines()
    assert any("ms at 200 MHz" in line for line in lines)
    (row,) = [line for line in lines if text in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == [text, "3", "1.0000", "150,000", "0.2%", "0.750"]
    assert lines[-1] == "bit-exact: all 48 values that left a layer equal the integer reference's"
