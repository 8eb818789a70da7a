"""What makes a family of networks: its graphs, its configuration, its checkpoints. A family is a value; the families
stand in `families`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .architecture import Graph
from .shape import Shape

__all__ = ["EmbeddingTables", "Family", "FamilyKeys", "Layout"]


@dataclass(frozen=True, kw_only=True)
class FamilyKeys:
    """What the keys of a family's Hugging Face `config.json` mean.

    Attributes:
        marks: Keys that only this family has, and always; a file without model_type is recognised by one of them.
        classes: A pattern of the classes of `transformers` that compute this network.
        shape: Keys that must be there, and the field of a `Shape` that each is.
        defaults: Keys of the same kind that may be left out, and Hugging Face's values for them.
        derived: Keys of the same kind that are left out where their value follows from others.
        extras: Keys of the same kind that only some models have; without them the shape's own defaults count.
        aliases: Other names of the keys above.
        plain: Keys that may change what the network computes, and the values with which they do not.
        same: Keys that must be as large as a field of the shape, as another size makes another network.
        harmless: Patterns of keys that never change what the network computes, in a line.
        unfold: Makes keys that are numbers, names or lists of those that hold others. It gets all keys, and the name of
            the file for errors.
    """

    marks: frozenset[str]
    classes: str
    shape: Mapping[str, str]
    defaults: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    plain: Mapping[str, tuple[Any, ...]]
    same: Mapping[str, str] = field(default_factory=dict)
    harmless: str
    unfold: Callable[[dict[str, Any], str], dict[str, Any]] = lambda values, source: values

    @property
    def fields(self) -> frozenset[str]:
        """The fields of a shape that a file gives, without ``extras``; the others follow from them."""
        return frozenset((*self.shape.values(), *dict(self.defaults.values()), *self.derived.values()))


@dataclass(frozen=True, kw_only=True)
class EmbeddingTables:
    """What stands before the first layer: a sum of rows of ``tables`` (rows of each by its name), and then, if the
    family has one, the ``graph``."""

    tables: Mapping[str, int]
    graph: Graph | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a checkpoint has its tensors, by their names in a plain model.

    Attributes:
        tables: The tensor of each table.
        embedding, layer, head, closing: What a tensor's name holds, without ``.weight`` and ``.bias``: a norm, or
            parts of a linear operator, one after the other. A layer's names begin with ``prefix``, whose place is its
            number.
        transposed: Whether the matrices of the layers are stored [inputs, outputs].
        modules: Names of modules around the plain model, which may stand before the names.
        renamed: Parts of names that some files have, and the plain ones.
        buffers: A pattern of tensors that are no weights.
        tied: A second name under which the matrix of the table ``word`` may be stored where the head has it too.
        apart: Operators and parts whose heads are stored with the features of a pair half a head apart, which the graph
            has as neighbours.
        gguf_neighbours: Whether they are neighbours in GGUF files.
    """

    tables: Mapping[str, str]
    prefix: str
    layer: Mapping[str, tuple[str, ...]]
    embedding: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    head: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    closing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    transposed: bool = False
    modules: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    buffers: str = r"(?!)"
    tied: str = ""
    apart: frozenset[str] = frozenset()
    gguf_neighbours: bool = False


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of networks.

    Attributes:
        name: The ``model_type`` of its configurations.
        title: Its name in sentences.
        keys: Its configurations.
        complete: Fields of a shape that follow from those that are given, if these do not include them.
        layer: The graph of a layer.
        head: The graph from the last layer's output to the logits of the next token; None without one.
        closing: The graph after the last layer that the host computes; None without one.
        embedding: What stands before the first layer.
        embed: The features [rows, hidden] of an input that is no text, of its tables and of the parameters of the
            embedding's graph; None for texts.
        layout: Its checkpoints; None for a family of which no hardware can be made yet.
    """

    name: str
    title: str
    keys: FamilyKeys
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda given: {}
    layer: Callable[[Shape], Graph]
    embedding: Callable[[Shape], EmbeddingTables]
    head: Callable[[Shape], Graph | None] = lambda shape: None
    closing: Callable[[Shape], Graph | None] = lambda shape: None
    embed: Callable[[Any, Mapping[str, np.ndarray], Mapping[str, Any], Shape], np.ndarray] | None = None
    layout: Layout | None = None
