"""Graphs of operators: what they refuse, and what they know of their tensors."""

import pytest

from hdl.model.architecture import (
    Add,
    Attention,
    Gate,
    Graph,
    Linear,
    Norm,
    Operator,
    Part,
    Rotary,
    Table,
)
from hdl.model.rotary import Angles

NORM = Norm("norm", "x", 8)
UP = Linear("up", "norm", 8, (Part("gate", 12), Part("values", 12)))
TABLE = Table("activated", "gate", 12, "gelu")
GATE = Gate("gated", "activated", "values", 12)
DOWN = Linear("down", "gated", 12, (Part("branch", 8),), bias=False)
ADD = Add("sum", "x", "branch", 8)
OPERATORS = (NORM, UP, TABLE, GATE, DOWN, ADD)
GRAPH = Graph("x", 8, OPERATORS, "sum")


def refused(*operators: Operator, output: str = "sum") -> str:
    with pytest.raises(ValueError) as error:
        Graph("x", 8, operators, output)
    return str(error.value)


def test_operators_that_read_what_is_not_there_yet() -> None:
    assert refused(UP, NORM) == "operator up must read tensors that are there, not norm"
    assert refused(NORM, UP, GATE, TABLE, DOWN, ADD) == "operator gated must read tensors that are there, not activated"
    assert refused(*OPERATORS[:4], ADD) == "operator sum must read tensors that are there, not branch"
    # An operator of several parts gives these, and nothing under its own name.
    assert refused(NORM, UP, Norm("last", "up", 24)) == "operator last must read tensors that are there, not up"


def test_operators_that_take_another_number_of_features() -> None:
    wide = Linear("up", "norm", 9, UP.parts)
    assert refused(NORM, wide) == "operator up must read 9 features, not the 8 of norm"
    assert refused(Norm("norm", "x", 7)) == "operator norm must read 7 features, not the 8 of x"
    assert refused(NORM, UP, Table("activated", "gate", 8, "gelu")) == (
        "operator activated must read 8 features, not the 12 of gate"
    )
    assert refused(NORM, UP, Add("sum", "x", "gate", 8)) == "operator sum must read 8 features, not the 12 of gate"
    attention = Attention("context", "norm", "norm", "gate", heads=2, kv_heads=2, head_size=4, causal=True)
    assert refused(NORM, UP, attention) == "operator context must read 8 features, not the 12 of gate"


def test_tensors_and_operators_of_one_name() -> None:
    assert refused(NORM, Table("x", "norm", 8, "gelu")) == "operator x must give a new tensor, not x again"
    twice = Linear("down", "norm", 8, (Part("norm", 8),))
    assert refused(NORM, twice) == "operator down must give a new tensor, not norm again"
    same = Linear("up", "norm", 8, (Part("other", 8),))
    assert refused(NORM, UP, same, output="other") == "operators of a graph must have different names"


def test_outputs_that_nobody_gives() -> None:
    assert refused(NORM, output="sum") == "output of a graph must be one of its tensors, not sum"
    assert refused(output="y") == "output of a graph must be one of its tensors, not y"
    assert Graph("x", 8, (), "x").widths == {"x": 8}


def test_what_a_graph_knows_of_its_tensors() -> None:
    widths = {"x": 8, "norm": 8, "gate": 12, "values": 12, "activated": 12, "gated": 12, "branch": 8, "sum": 8}
    assert GRAPH.widths == widths
    assert list(GRAPH.widths) == list(widths), "in the order of the data"
    makers = {tensor: maker.name if (maker := GRAPH.maker(tensor)) else None for tensor in widths}
    assert makers == {
        "x": None, "norm": "norm", "gate": "up", "values": "up", "activated": "activated", "gated": "gated",
        "branch": "down", "sum": "sum",
    }  # fmt: skip
    readers = {tensor: [reader.name for reader in GRAPH.readers(tensor)] for tensor in widths}
    assert readers == {
        "x": ["norm", "sum"], "norm": ["up"], "gate": ["activated"], "values": ["gated"], "activated": ["gated"],
        "gated": ["down"], "branch": ["sum"], "sum": [],
    }  # fmt: skip
    assert GRAPH.maker("nothing") is None
    assert GRAPH.readers("nothing") == ()


def test_operators_by_kind_and_by_name() -> None:
    assert GRAPH.of(Linear) == (UP, DOWN)
    assert GRAPH.of(Attention) == ()
    assert tuple(GRAPH) == GRAPH.of(Operator) == OPERATORS
    assert GRAPH["up"] is UP
    assert GRAPH["sum"] is ADD
    with pytest.raises(KeyError, match="gate"):
        GRAPH["gate"]


def test_what_operators_read_and_give() -> None:
    attention = Attention("context", "q", "k", "v", heads=6, kv_heads=2, head_size=4, causal=True)
    assert attention.reads == {"q": 24, "k": 8, "v": 8}
    assert attention.gives == {"context": 24}
    rotary = Rotary("turned", "plain", 24, 4, Angles(10000.0))
    assert (rotary.reads, rotary.gives) == ({"plain": 24}, {"turned": 24})
    assert (UP.reads, UP.gives, UP.outputs, UP.weights) == ({"norm": 8}, {"gate": 12, "values": 12}, 24, 192)
    assert (ADD.reads, ADD.gives) == ({"x": 8, "branch": 8}, {"sum": 8})
    assert (GATE.reads, GATE.gives) == ({"activated": 12, "values": 12}, {"gated": 12})
