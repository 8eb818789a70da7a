"""The GELU's two forms and their tables."""

import numpy as np
import pytest
from hdl.model.gelu import EXACT, TANH
from hdl.model.gpt2 import floating as decoder

from hdl.kernels.activation import ActivationSpec
from hdl.model import floating

FORMS = {"exact": (EXACT, floating.gelu), "tanh": (TANH, decoder.gelu)}


@pytest.mark.parametrize("form", FORMS)
def test_least_value_is_the_functions(form: str) -> None:
    gelu, function = FORMS[form]
    inputs = np.linspace(-1, -0.5, 100_001)
    assert function(inputs).min() == pytest.approx(gelu.least, abs=2e-7)
    assert min(map(gelu.function, inputs)) >= gelu.least


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reach", [4, 40])
def test_table_computes_the_function(form: str, reach: float) -> None:
    gelu, function = FORMS[form]
    unit = reach / 32767
    table, output_unit = gelu.table(unit)
    inputs = np.random.default_rng(1).integers(-32768, 32768, (4, 500))
    outputs = ActivationSpec(rows=4, lanes=1, features=500, max_tiles=1).reference(inputs, table)
    found = outputs * output_unit + gelu.least
    # Between the entries, 64 units apart, the table is a line: off by an eighth of the step squared times curvature.
    np.testing.assert_allclose(found, function(inputs * unit), atol=(64 * unit) ** 2 / 8 + output_unit)
    assert outputs.max() > 0.95 * 0xFFFF


def test_the_forms_differ_where_they_should() -> None:
    difference = [abs(EXACT.function(x) - TANH.function(x)) for x in np.linspace(-5, 5, 1001)]
    assert 4e-4 < max(difference) < 5e-4
