"""The functions of the feed-forward part, the GELU's two forms, and their tables."""

from math import erf, sqrt

import numpy as np
import pytest

from hdl.kernels.activation import ActivationSpec
from hdl.model.functions import FUNCTIONS, function_of, gelu, gelu_new


@pytest.mark.parametrize("name", FUNCTIONS)
def test_least_value_is_the_functions(name: str) -> None:
    function = FUNCTIONS[name]
    inputs = np.linspace(-1.5, -0.5, 100_001)
    assert function.rows(inputs).min() == pytest.approx(function.least, abs=2e-7)
    assert min(map(function.exact, inputs)) >= function.least


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_and_single_numbers_are_the_same_function(name: str) -> None:
    inputs = np.linspace(-6, 6, 1001)
    exact = [FUNCTIONS[name].exact(x) for x in inputs.tolist()]
    for kind in (np.float32, np.float64):
        found = FUNCTIONS[name].rows(inputs.astype(kind))
        assert found.dtype == kind
        np.testing.assert_allclose(found, exact, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("reach", [4, 40])
def test_table_computes_the_function(name: str, reach: float) -> None:
    function, scale = FUNCTIONS[name], reach / 32767
    table, output_scale = function.table(scale)
    inputs = np.random.default_rng(1).integers(-32768, 32768, (4, 500))
    outputs = ActivationSpec(rows=4, lanes=1, features=500, max_tiles=1).reference(inputs, table)
    found = outputs * output_scale + function.least
    # Between the entries, 64 inputs apart, the table is a line: off by an eighth of the step squared times curvature.
    np.testing.assert_allclose(found, function.rows(inputs * scale), atol=(64 * scale) ** 2 / 8 + output_scale)
    assert outputs.max() > 0.95 * 0xFFFF


def test_gelu_is_exact() -> None:
    x = np.linspace(-12, 12, 10_001, dtype=np.float32)
    exact = np.array([v * (1 + erf(v / sqrt(2))) / 2 for v in x.tolist()])
    assert np.abs(gelu(x) - exact).max() < 2e-6


def test_gelus_tanh_form_has_the_published_values() -> None:
    # The exact GELU gives 0.8413447 and -0.0036373.
    np.testing.assert_allclose(gelu_new(np.array([1.0, -3.0, 0.0])), [0.8411920, -0.0036374, 0.0], atol=1e-7)


def test_the_forms_differ_where_they_should() -> None:
    exact, tanh = FUNCTIONS["gelu"].exact, FUNCTIONS["gelu_new"].exact
    difference = [abs(exact(x) - tanh(x)) for x in np.linspace(-5, 5, 1001)]
    assert 4e-4 < max(difference) < 5e-4


def test_names_and_aliases() -> None:
    for function in FUNCTIONS.values():
        assert all(function_of(name) is function for name in (function.name, *function.aliases))
    assert function_of("gelu_python") is FUNCTIONS["gelu"]
    assert function_of("gelu_pytorch_tanh") is FUNCTIONS["gelu_new"]
    assert function_of("relu") is None
    assert function_of(["gelu"]) is None
