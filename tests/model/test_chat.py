"""Conversations as text."""

import pytest

from hdl.errors import InputError
from hdl.model.chat import ChatTemplate

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SAID = ("user", "Hi"), ("assistant", "Hello"), ("user", "?")
MESSAGES = [{"role": role, "content": content} for role, content in SAID]


def test_a_conversation() -> None:
    found = ChatTemplate(CHATML, "m").text(MESSAGES)
    said = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\n?<|im_end|>\n"
    assert found == f"{said}<|im_start|>assistant\n"


def test_special_tokens_and_lines_of_blocks() -> None:
    template = "{{ bos_token }}\n  {% if messages %}\n{{ messages[0].content }}\n  {% endif %}\n"
    assert ChatTemplate(template, "m", {"bos_token": "<s>"}).text(MESSAGES) == "<s>\nHi\n"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% if %}", "Expected an expression, got 'end of statement block'"),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."),
        ("{{ 1 + 'a' }}", "unsupported operand type(s) for +: 'int' and 'str'"),
    ],
)
def test_what_is_refused(template: str, reason: str) -> None:
    with pytest.raises(InputError) as error:
        ChatTemplate(template, "m").text(MESSAGES)
    assert str(error.value) == f"chat template of m cannot make a text of these messages: {reason}"
