"""What the edges of the families' graphs carry in integers, written out."""

import pytest

from hdl.model.architecture import Add, Graph, Linear, Norm, Part
from hdl.model.edges import Edge, Scale, edges
from hdl.model.load import load_network

HEAD, VALUES = Edge(8, Scale.HEAD), Edge(8, Scale.FEATURE)
FEATURE, TENSOR = Edge(16, Scale.FEATURE), Edge(16, Scale.TENSOR)
PLACES = Edge(16, Scale.PLACES)
SUM = Edge(17, Scale.TENSOR)
ACTIVATED = Edge(16, Scale.TENSOR, zero_point=True)


def test_layer_of_bert() -> None:
    assert edges(load_network("bert-base").layer, looped=True) == {
        "tokens": PLACES,
        "keys": HEAD,
        "values": VALUES,
        "queries": HEAD,
        "context": FEATURE,
        "projection": TENSOR,
        "residual1": SUM,
        "norm1": PLACES,
        "ffn1": TENSOR,
        "activation": ACTIVATED,
        "ffn2": TENSOR,
        "residual2": SUM,
        "norm2": PLACES,
    }


def test_layer_of_gpt2() -> None:
    assert edges(load_network("gpt2").layer, looped=True) == {
        "tokens": TENSOR,
        "norm1": FEATURE,
        "keys": HEAD,
        "values": VALUES,
        "queries": HEAD,
        "context": FEATURE,
        "projection": TENSOR,
        "residual1": TENSOR,
        "norm2": FEATURE,
        "ffn1": TENSOR,
        "activation": ACTIVATED,
        "ffn2": TENSOR,
        "residual2": TENSOR,
    }


def test_head_of_gpt2() -> None:
    head = load_network("gpt2").head
    assert head is not None
    assert edges(head, looped=False) == {"tokens": TENSOR, "norm": FEATURE, "logits": TENSOR}


@pytest.mark.parametrize("looped", [False, True])
def test_a_loop_joins_the_output_to_the_input(looped: bool) -> None:
    """The norm's result is added to past a branch only by the next layer."""
    operators = (
        Linear("branch", "tokens", 8, (Part("branch", 8),)),
        Add("sum", "tokens", "branch", 8),
        Norm("norm", "sum", 8),
    )
    found = edges(Graph("tokens", 8, operators, "norm"), looped=looped)
    assert found["norm"] == (PLACES if looped else FEATURE)
    assert found["tokens"] == (PLACES if looped else TENSOR)
    assert found["sum"] == SUM


def test_a_sum_that_goes_past_a_branch_has_16_bits() -> None:
    """A sum of 17 bits would need 18 after the next addition: only norms take one."""
    branch = Linear("branch", "sum", 8, (Part("branch", 8),))
    add = Add("sum", "tokens", "tokens", 8)
    assert edges(Graph("tokens", 8, (add, Norm("norm", "sum", 8)), "norm"), looped=False)["sum"] == SUM
    assert edges(Graph("tokens", 8, (add, branch), "branch"), looped=False)["sum"] == TENSOR
    both = (add, branch, Add("last", "sum", "branch", 8), Norm("norm", "last", 8))
    found = edges(Graph("tokens", 8, both, "norm"), looped=False)
    assert (found["sum"], found["last"]) == (TENSOR, SUM)
