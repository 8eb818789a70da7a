"""The scales of the residual path: the sums' grow by the additions' shifts, the norms' are finer by features."""

import numpy as np
import pytest

from hdl.model.architecture import Add
from hdl.model.calibrate import Ranges, calibrate
from hdl.model.network import Network
from hdl.model.quantise import quantise
from hdl.model.scaling import INT16, MARGIN
from hdl.model.streams import Streams, residual_path
from hdl.model.weights import Weights, random_weights

from .networks import SMALL, gpt2, norm, texts

WEIGHTS = {family: random_weights(network, 5) for family, network in SMALL.items()}
TEXTS = texts(SMALL["bert"], [20] * 4)
PLAIN = gpt2("plain", layers=3, hidden=8, heads=1, intermediate=8, max_positions=4, vocabulary=10)


def test_a_decoders_units_grow_by_the_shifts() -> None:
    model = quantise(WEIGHTS["gpt2"], TEXTS)
    past = model.layers[0].scales["tokens"]
    for layer in model.layers:
        assert layer.scales["tokens"] == past
        for name in ("residual1", "residual2"):
            (shift,) = set(layer.channels[name].shift.tolist())
            assert 0 <= shift <= 7
            assert layer.scales[name] == past * 2.0**shift
            past = layer.scales[name]
        assert layer.scales["projection"] == layer.scales["residual1"]
        assert layer.scales["ffn2"] == layer.scales["residual2"]
    assert model.head is not None
    assert model.head.scales["tokens"] == past


def ranges(network: Network, largest: list[tuple[float, float]]) -> list[Ranges]:
    """Ranges with these sums after either addition, layer by layer, and branches of 1."""
    layers: list[Ranges] = [
        {"residual1": np.array([a]), "projection": np.array([1.0]), "residual2": np.array([b]), "ffn2": np.array([1.0])}
        for a, b in largest
    ]
    assert len(layers) == network.layers
    return layers


def flat(streams: list[Streams]) -> tuple[np.ndarray, list[int]]:
    """The scales of a path of sums, and the places of its shifts."""
    scales = [streams[0].scales["tokens"]]
    places = []
    for layer in streams:
        for name in ("residual1", "residual2"):
            (place,) = set(layer.shifts[name].tolist())
            scales.append(layer.scales[name])
            places.append(place)
    return np.array(scales), places


def test_the_stream_holds_what_calibration_saw_and_no_unit_is_larger_than_it_must() -> None:
    weights = random_weights(PLAIN, 1)
    found = residual_path(weights, ranges(PLAIN, [(2.0, 5.0), (4.0, 3000.0), (3000.0, 3000.0)]), 1.0, balanced=True)
    scales, places = flat(found)
    needed = np.array([1, 2.5, 6.25, 6.25, 3750, 3750, 3750]) / INT16
    assert (scales >= needed * 0.9999).all()
    assert (scales[[0, 1, 2]] < 2 * needed[[0, 1, 2]]).all()
    assert places == [2, 1, 2, 7, 0, 0], "10 places in the third step are more than the hardware shifts"
    np.testing.assert_array_equal(scales[1:], scales[:-1] * np.exp2(places))


def test_a_sum_that_shrinks_keeps_its_scale() -> None:
    found = residual_path(
        random_weights(PLAIN, 1), ranges(PLAIN, [(100.0, 1.0), (2.0, 1.0), (1.0, 1.0)]), 1.0, balanced=True
    )
    assert flat(found)[1] == [7, 0, 0, 0, 0, 0]


def path(weights: Weights, *, balanced: bool) -> list[Streams]:
    return residual_path(weights, calibrate(weights, TEXTS), 0.0, balanced=balanced)


def test_without_balance_nothing_of_an_encoder_is_shifted() -> None:
    for layer in path(WEIGHTS["bert"], balanced=False):
        assert not any(places.any() for places in layer.shifts.values())
        for name in ("tokens", "norm1", "norm2"):
            assert len(set(layer.scales[name].tolist())) == 1
    plain = quantise(WEIGHTS["bert"], TEXTS, balance=False)
    assert not any(layer.channels[name].shift.any() for layer in plain.layers for name in ("residual1", "residual2"))


def test_what_is_balanced_is_undone_before_the_residual_addition() -> None:
    model = quantise(WEIGHTS["bert"], TEXTS)
    for layer in model.layers:
        for skip, add, branch in (("tokens", "residual1", "projection"), ("norm1", "residual2", "ffn2")):
            shift = layer.channels[add].shift
            assert set(shift.tolist()) <= {0, 1, 2, 3}
            # One scale for all features at the addition: the branch's.
            np.testing.assert_array_equal(np.ldexp(layer.scales[skip], shift), np.broadcast_to(layer.scales[add], 48))
            assert layer.scales[branch] == layer.scales[add]
        assert len(set(layer.channels["residual2"].shift.tolist())) > 1
    for before, after in zip(model.layers, model.layers[1:], strict=False):
        np.testing.assert_array_equal(before.scales["norm2"], after.scales["tokens"])
    assert len(set(model.layers[-1].scales["norm2"].tolist())) == 1, "nothing reads the last layer's output"


@pytest.mark.parametrize("balanced", [False, True])
def test_an_encoders_units_hold_what_calibration_saw(balanced: bool) -> None:
    found = calibrate(WEIGHTS["bert"], TEXTS)
    for own, layer in zip(found, residual_path(WEIGHTS["bert"], found, 0.0, balanced=balanced), strict=True):
        for name in ("tokens", "projection", "norm1", "ffn2", "norm2"):
            assert (layer.scales[name] * INT16 >= 0.9999 * MARGIN * own[name]).all(), name
        for add in SMALL["bert"].layer.of(Add):
            assert add.name in layer.shifts


def test_the_units_of_a_norms_result_hold_its_beta() -> None:
    weights = random_weights(SMALL["bert"], 5)
    own = norm(weights.layers[0], "norm1")
    before = path(weights, balanced=False)[0].scales["norm1"]
    own.beta[7], own.gamma[7] = 1000, 0
    after = path(weights, balanced=False)[0].scales["norm1"]
    assert after[7] * INT16 >= 1000
    assert after[7] > before[7]
