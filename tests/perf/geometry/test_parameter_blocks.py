"""Parameters of a layer: a word for each feature that a unit puts out, counted by hand."""

from hdl.model.load import load_network
from hdl.perf.choice.one_pace import smallest

SMOLLM = {
    "qkv": 9 * 64 + 2 * 3 * 64,  # 9 heads of queries share 3 of keys and of values
    "scores": 9,
    "context": 576,
    "projection": 576,
    "residual1": 576,
    "norm1": 576,
    "ffn1": 2 * 1536,  # gates, and what passes them
    "activation": 512,
    "ffn2": 576,
    "residual2": 576,
    "norm2": 576,
}
"""Words of the blocks of a layer of smollm2-135m that have more than one."""

GPT2 = SMOLLM | dict.fromkeys(("context", "projection", "residual1", "norm1", "ffn2", "residual2", "norm2"), 768)
GPT2 |= {"qkv": 3 * 768, "scores": 12, "ffn1": 3072}


def words(model: str) -> dict[str, int]:
    """The blocks of more than one word of a layer of a model, in its smallest geometry."""
    blocks = smallest(load_network(model), 128, 4).sections["layer"].parameters
    assert sum(block.words == 1 for block in blocks) == 6, "four limits and two epsilons"
    return {block.name: block.words for block in blocks if block.words > 1}


def test_a_gated_network_with_grouped_queries() -> None:
    assert words("smollm2-135m") == SMOLLM
    spec = smallest(load_network("smollm2-135m"), 128, 4)
    # A dealer of one word in a cycle fills beats of eight without gaps.
    assert spec.sections["layer"].beats == -(-(sum(SMOLLM.values()) + 6) // 8)


def test_a_network_with_neither() -> None:
    assert words("gpt2") == GPT2
