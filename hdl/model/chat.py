"""Conversations as the text that a model continues, by the template that comes with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import InputError

__all__ = ["ChatTemplate", "Message"]

Message = Mapping[str, str]
"""What somebody says: their ``role``, such as user or assistant, and the ``content``."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template of Jinja, as Hugging Face has them; ``source`` is named in errors, and ``tokens`` are special tokens
    that it can name, such as ``bos_token``."""

    template: str
    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    def text(self, messages: Sequence[Message]) -> str:
        """The text of a conversation, up to where the assistant speaks next.

        Raises:
            InputError: for a template that is none, and for messages that it refuses.
        """
        # What is in a template comes from the file of a model, so it may neither call nor change anything.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        try:
            template = environment.from_string(self.template)
            return template.render(messages=messages, add_generation_prompt=True, **self.tokens)
        except (TemplateError, SecurityError, TypeError, ValueError) as error:
            raise InputError(f"chat template of {self.source} cannot make a text of these messages: {error}") from None


def _refuse(message: str) -> None:
    """What templates call where messages do not suit them."""
    raise TemplateError(message)
