"""Which networks hardware is made of."""

from dataclasses import replace

import pytest

from hdl.model.load import load_network, networks
from hdl.perf.choice.buildable import not_built
from hdl.perf.choice.built import plan
from hdl.perf.device import load_device


def test_families_and_specs_decide() -> None:
    lacking = "there is no hardware yet for RMSNorm, rotary positions{}"
    for name in networks():
        network = load_network(name)
        reason = not_built(network)
        if network.family == "opt":
            assert reason == "networks of the family opt are only estimated"
        elif network.gated:
            shared = ", gates and shared heads of keys and values"
            assert reason == lacking.format(" and gates" if network.kv_heads == network.heads else shared)
        elif network.intermediate > 4096:
            assert reason == f"array contraction must have at most 4096 terms, not {network.intermediate}"
        else:
            assert reason is None


FEATURES, TERMS = (
    "layer norm features must be 8 to 4096, not {}",
    "array contraction must have at most 4096 terms, not {}",
)


@pytest.mark.parametrize(
    ("model", "change", "reason"),
    [
        ("tiny-bert", {"hidden": 4104}, FEATURES.format(4104)),
        ("tiny-gpt2", {"hidden": 4104}, FEATURES.format(4104)),
        ("tiny-bert", {"hidden": 8192}, TERMS.format(8192)),
        ("tiny-gpt2", {"hidden": 8192}, FEATURES.format(8192)),
        ("tiny-bert", {"intermediate": 5000}, TERMS.format(5000)),
        ("tiny-gpt2", {"intermediate": 20_000}, TERMS.format(20_000)),
    ],
)
def test_kernels_limit_the_features(model: str, change: dict[str, int], reason: str) -> None:
    hidden = change.get("hidden", 32)
    sizes = {"hidden": hidden, "heads": hidden // 8, "kv_heads": hidden // 8, "head_size": 8, "intermediate": 64}
    assert not_built(replace(load_network(model), **sizes | change)) == reason


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-gpt2"])
def test_the_widest_networks_are_built(model: str) -> None:
    sizes = {"hidden": 4096, "heads": 64, "kv_heads": 64, "head_size": 64, "intermediate": 4096}
    assert not_built(replace(load_network(model), **sizes)) is None


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-gpt2"])
def test_a_shape_without_arrays_is_refused_as_planning_does(model: str) -> None:
    odd = replace(load_network(model), hidden=36, heads=3, kv_heads=3, head_size=12)
    reason = "hidden size 36 with 3 heads has no geometry; the head size must be a multiple of 8"
    assert not_built(odd) == reason
    with pytest.raises(ValueError, match=reason):
        plan(odd, load_device("u280"), max_length=8)
