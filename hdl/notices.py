"""Notices: lines that say what is ignored or assumed of the user's input.

A notice is a Python warning of the category `Notice`. In a script, Python prints it on stderr; a caller may silence it,
collect it or make it an error with the module `warnings`. The command line prints it as ``note: ...`` on stderr.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Notice", "notify", "shown_notices"]


class Notice(UserWarning):
    """One line that says what is ignored or assumed of the input: the subject, and what is done instead."""


def notify(text: str) -> None:
    """Gives the notice ``text``: a sentence without its full stop, as ``c.json: the fields a and b are ignored``."""
    warnings.warn(text, Notice, stacklevel=3)


@contextmanager
def shown_notices(show: Callable[[str], None]) -> Iterator[None]:
    """Gives each notice of the block to ``show`` at once, and each text only once. Other warnings are not changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        before, shown = warnings.showwarning, set[str]()

        def tell(message: Warning | str, category: type[Warning], *place: object) -> None:
            if not issubclass(category, Notice):
                before(message, category, *place)  # type: ignore[arg-type]
            elif (text := str(message)) not in shown:
                shown.add(text)
                show(text)

        warnings.showwarning = tell  # type: ignore[assignment]
        yield
