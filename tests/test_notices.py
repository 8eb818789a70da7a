"""Notices: as warnings in a library, shown once each by a command."""

import warnings
from pathlib import Path

import click
import pytest

from hdl.notices import Notice, notify, shown_notices
from hdl.top.console import run_command


def reads() -> None:
    notify("c.json: the fields a and b are ignored")


def test_a_notice_is_a_warning_of_its_own_category_at_the_caller_of_the_reader() -> None:
    with pytest.warns(Notice) as told:
        reads()
    assert [str(one.message) for one in told] == ["c.json: the fields a and b are ignored"]
    assert Path(told[0].filename) == Path(__file__)


def test_each_text_is_shown_once_and_other_warnings_go_on() -> None:
    def speaks() -> None:
        with shown_notices(shown.append):
            reads()
            reads()
            notify("another")
            warnings.warn("of someone else", UserWarning, stacklevel=1)

    shown: list[str] = []
    with pytest.warns(UserWarning, match="someone") as others:
        speaks()
    assert shown == ["c.json: the fields a and b are ignored", "another"]
    assert [str(one.message) for one in others] == ["of someone else"]


def test_notices_outside_of_the_block_are_as_before() -> None:
    shown: list[str] = []
    with shown_notices(shown.append):
        pass
    with pytest.warns(Notice):
        reads()
    assert shown == []


def test_a_command_shows_notices_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        reads()
        notify("of\ntwo lines")
        reads()
        click.echo("done")

    assert run_command(command, "command", []) == 0
    assert capsys.readouterr() == ("done\n", "note: c.json: the fields a and b are ignored\nnote: of two lines\n")
