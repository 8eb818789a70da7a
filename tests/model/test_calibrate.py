"""The ranges of calibration: those of a plain loop over the texts."""

import numpy as np
import pytest

from hdl.model import floating
from hdl.model.calibrate import LARGEST, SMALLEST, calibrate
from hdl.model.functions import FUNCTIONS
from hdl.model.weights import random_weights

from .networks import SMALL, dense, texts

TEXTS = texts(SMALL["bert"], [20, 7, 1])


@pytest.mark.parametrize("family", SMALL)
def test_ranges_are_the_largest_magnitudes_over_all_texts(family: str) -> None:
    network, weights = SMALL[family], random_weights(SMALL[family], 5)
    found = calibrate(weights, TEXTS)
    inputs = [floating.embed(ids, weights) for ids in TEXTS]
    for layer, ranges in zip(weights.layers, found[: network.layers], strict=True):
        traces = [floating.run_graph(network.layer, x, layer, network) for x in inputs]
        inputs = [trace[network.layer.output] for trace in traces]
        whole = {name: np.concatenate([trace[name] for trace in traces]) for name in network.layer.widths}
        signed = ("norm1", "norm2", "ffn1")
        ends = [end.format(name) for name in signed for end in (LARGEST, SMALLEST)]
        assert ranges.keys() == {*whole, *ends}
        for name, values in whole.items():
            assert ranges[name].shape == (network.layer.widths[name],)
            if name not in ("projection", "ffn2"):
                np.testing.assert_array_equal(ranges[name], np.abs(values).max(axis=0), name)
        for name in signed:
            np.testing.assert_array_equal(ranges[LARGEST.format(name)], whole[name].max(axis=0))
            np.testing.assert_array_equal(ranges[SMALLEST.format(name)], -whole[name].min(axis=0))
        # What is added to the residual stream also holds its biases.
        projection, ffn2 = dense(layer, "projection"), dense(layer, "ffn2")
        least = FUNCTIONS[network.activation].least
        biases = {"projection": projection.bias, "ffn2": ffn2.bias + least * ffn2.weight.sum(axis=1)}
        for name, bias in biases.items():
            np.testing.assert_array_equal(ranges[name], np.maximum(np.abs(whole[name]).max(axis=0), np.abs(bias)))


def test_ranges_of_the_head() -> None:
    weights = random_weights(SMALL["gpt2"], 5)
    found = calibrate(weights, TEXTS)[-1]
    traces = [floating.FloatDecoder(weights).extend(ids) for ids in TEXTS]
    for name in ("norm", "logits"):
        values = np.concatenate([trace[name] for trace in traces])
        np.testing.assert_allclose(found[name], np.abs(values).max(axis=0), rtol=1e-5)
    assert len(calibrate(random_weights(SMALL["bert"], 5), TEXTS)) == SMALL["bert"].layers
