"""What the product ignores or assumes of a user's input, told in one line.

A notice is a Python warning of the category `Notice`. In a script, Python prints it on stderr; a caller may silence it,
collect it or make it an error with the module `warnings`. The command line prints it as ``note: ...`` on stderr.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Notice", "notify", "shown_notices"]


class Notice(UserWarning):
    """What is ignored or assumed of the input: one line with the subject, and what the product does instead."""


def notify(text: str) -> None:
    """Tells ``text``, a sentence without its full stop, such as ``c.json: the fields a and b are ignored``."""
    warnings.warn(text, Notice, stacklevel=3)


@contextmanager
def shown_notices(show: Callable[[str], None]) -> Iterator[None]:
    """Gives every notice of the block to ``show`` as it comes, each text once. Other warnings go on as before."""
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
