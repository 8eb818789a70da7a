"""Reads YAML of the user; every fault of it becomes an error of one line."""

import re
from typing import Any

import yaml

from .errors import InputError

__all__ = ["parse_yaml"]

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
"""Numbers with an exponent, as in YAML 1.2 and JSON. In YAML 1.1, which PyYAML reads, 1e-12 is a string."""


class _Loader(yaml.SafeLoader):
    """Reads the plain values of YAML and the numbers of JSON; no dates, no aliases, each key once.

    An alias could stand for its own parent or for millions of values, and no file needs one.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name) cannot be used here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            problem = "a key stands in a mapping twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def parse_yaml(text: str, subject: str) -> Any:
    """The value of a YAML text; ``subject`` is named in errors.

    Raises:
        InputError: for text that is not YAML, an alias, a key that a mapping has twice, and nesting or numbers that
            Python does not read.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        reason = "it is nested too deeply"
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        reason = (
            f"{(error.problem or '').removeprefix('but ')} (line {place.line + 1}, column {place.column + 1})"
            if place
            else str(error)
        )
    except (yaml.YAMLError, ValueError) as error:  # numbers of too many digits, too
        reason = str(error).split(";")[0].splitlines()[0]
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
    ):  # raised by PyYAML for a tag that does not suit its value
        reason = "a value does not suit its tag"
    raise InputError(f"{subject} must be valid YAML: {reason}")
