"""The units of the residual path: the sums' grow by the additions' shifts, the norms' are finer by features."""

import numpy as np
import pytest

from hdl.model.architecture import Add
from hdl.model.calibrate import NetworkRanges, Ranges, calibrate
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
    past = model.layers[0].units["tokens"]
    for layer in model.layers:
        assert layer.units["tokens"] == past
        for name in ("residual1", "residual2"):
            (shift,) = set(layer.channels[name].shift.tolist())
            assert 0 <= shift <= 7
            assert layer.units[name] == past * 2.0**shift
            past = layer.units[name]
        assert layer.units["projection"] == layer.units["residual1"]
        assert layer.units["ffn2"] == layer.units["residual2"]
    assert model.head is not None
    assert model.head.units["tokens"] == past


def ranges(network: Network, largest: list[tuple[float, float]]) -> NetworkRanges:
    """Ranges with these sums after either addition, layer by layer, and branches of 1."""
    layers: list[Ranges] = [
        {"residual1": np.array([a]), "projection": np.array([1.0]), "residual2": np.array([b]), "ffn2": np.array([1.0])}
        for a, b in largest
    ]
    assert len(layers) == network.layers
    return NetworkRanges(tuple(layers), {})


def flat(streams: list[Streams]) -> tuple[np.ndarray, list[int]]:
    """The units of a path of sums, and the places of its shifts."""
    units = [streams[0].units["tokens"]]
    places = []
    for layer in streams:
        for name in ("residual1", "residual2"):
            (place,) = set(layer.shifts[name].tolist())
            units.append(layer.units[name])
            places.append(place)
    return np.array(units), places


def test_the_stream_holds_what_calibration_saw_and_no_unit_is_larger_than_it_must() -> None:
    weights = random_weights(PLAIN, 1)
    found = residual_path(weights, ranges(PLAIN, [(2.0, 5.0), (4.0, 3000.0), (3000.0, 3000.0)]), 1.0, balanced=True)
    units, places = flat(found)
    needed = np.array([1, 2.5, 6.25, 6.25, 3750, 3750, 3750]) / INT16
    assert (units >= needed * 0.9999).all()
    assert (units[[0, 1, 2]] < 2 * needed[[0, 1, 2]]).all()
    assert places == [2, 1, 2, 7, 0, 0], "10 places in the third step are more than the hardware shifts"
    np.testing.assert_array_equal(units[1:], units[:-1] * np.exp2(places))


def test_a_sum_that_shrinks_keeps_its_unit() -> None:
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
            assert len(set(layer.units[name].tolist())) == 1
    plain = quantise(WEIGHTS["bert"], TEXTS, balance=False)
    assert not any(layer.channels[name].shift.any() for layer in plain.layers for name in ("residual1", "residual2"))


def test_what_is_balanced_is_undone_before_the_residual_addition() -> None:
    model = quantise(WEIGHTS["bert"], TEXTS)
    for layer in model.layers:
        for skip, add, branch in (("tokens", "residual1", "projection"), ("norm1", "residual2", "ffn2")):
            shift = layer.channels[add].shift
            assert set(shift.tolist()) <= {0, 1, 2, 3}
            # One unit for all features at the addition: the branch's.
            np.testing.assert_array_equal(np.ldexp(layer.units[skip], shift), np.broadcast_to(layer.units[add], 48))
            assert layer.units[branch] == layer.units[add]
        assert len(set(layer.channels["residual2"].shift.tolist())) > 1
    for before, after in zip(model.layers, model.layers[1:], strict=False):
        np.testing.assert_array_equal(before.units["norm2"], after.units["tokens"])
    assert len(set(model.layers[-1].units["norm2"].tolist())) == 1, "nothing reads the last layer's output"


@pytest.mark.parametrize("balanced", [False, True])
def test_an_encoders_units_hold_what_calibration_saw(balanced: bool) -> None:
    found = calibrate(WEIGHTS["bert"], TEXTS)
    for own, layer in zip(found.layers, residual_path(WEIGHTS["bert"], found, 0.0, balanced=balanced), strict=True):
        for name in ("tokens", "projection", "norm1", "ffn2", "norm2"):
            assert (layer.units[name] * INT16 >= 0.9999 * MARGIN * own[name]).all(), name
        for add in SMALL["bert"].layer.of(Add):
            assert add.name in layer.shifts


def test_the_units_of_a_norms_result_hold_its_beta() -> None:
    weights = random_weights(SMALL["bert"], 5)
    own = norm(weights.layers[0], "norm1")
    before = path(weights, balanced=False)[0].units["norm1"]
    own.beta[7], own.gamma[7] = 1000, 0
    after = path(weights, balanced=False)[0].units["norm1"]
    assert after[7] * INT16 >= 1000
    assert after[7] > before[7]
