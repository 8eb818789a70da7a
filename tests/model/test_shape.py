"""The numbers of a network: each is checked by itself, with its name and its value in the message."""

from typing import Any

import pytest

from hdl.errors import InputError
from hdl.model.shape import Shape

FIELDS: dict[str, Any] = {
    "name": "m", "family": "any", "layers": 3, "hidden": 64, "heads": 4, "kv_heads": 2, "head_size": 24,
    "intermediate": 96, "max_positions": 32, "vocabulary": 100, "token_types": 2, "norm_eps": 1e-5,
    "activation": "gelu", "tied": True,
}  # fmt: skip

NUMBERS = {
    "layers": 256,
    "hidden": 1 << 16,
    "heads": 1 << 10,
    "kv_heads": 1 << 10,
    "head_size": 1 << 12,
    "intermediate": 1 << 18,
    "max_positions": 1 << 24,
    "vocabulary": 1 << 20,
    "token_types": 1 << 10,
}


def refused(**change: Any) -> str:
    with pytest.raises(InputError) as error:
        Shape(**FIELDS | change)
    return str(error.value)


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize(("value", "shown"), [(-1, "-1"), (True, "true"), (2.0, "2.0"), ("2", "'2'"), (None, "null")])
def test_whole_numbers(field: str, value: Any, shown: str) -> None:
    expected = f"{field} of model 'm' must be a whole number of at least 1, not {shown}"
    assert refused(**{field: value}) == expected


@pytest.mark.parametrize(("field", "most"), NUMBERS.items())
def test_the_most(field: str, most: int) -> None:
    Shape(**FIELDS | ({"heads": most, "kv_heads": most} if "heads" in field else {field: most}))
    assert refused(**{field: most + 1}).startswith(f"{field} of model 'm' must be at most {most:,}, not {most + 1}: ")


def test_what_a_network_may_lack_is_0() -> None:
    for field in ("token_types", "vocabulary"):
        assert getattr(Shape(**FIELDS | {field: 0}), field) == 0
    for field in NUMBERS.keys() - {"token_types", "vocabulary"}:
        assert refused(**{field: 0}) == f"{field} of model 'm' must be a whole number of at least 1, not 0"
    assert refused(token_types=False).endswith("must be a whole number of at least 1, not false")


def test_heads_share_heads_of_keys_and_values() -> None:
    assert refused(kv_heads=3) == "kv_heads of model 'm' must be a divisor of its heads (4), not 3"
    assert refused(kv_heads=8) == "kv_heads of model 'm' must be a divisor of its heads (4), not 8"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.5, "1.5"), (-1e-5, "-1e-05"), (2, "2"), (True, "true"), ("tiny", "'tiny'"), (float("nan"), "nan")],
)
def test_epsilon(value: Any, shown: str) -> None:
    assert refused(norm_eps=value) == f"norm_eps of model 'm' must be a number from 0 to 1, not {shown}"


@pytest.mark.parametrize(("value", "shown"), [("yes", "'yes'"), (1, "1"), (None, "null")])
def test_tied(value: Any, shown: str) -> None:
    assert refused(tied=value) == f"tied of model 'm' must be true or false, not {shown}"
