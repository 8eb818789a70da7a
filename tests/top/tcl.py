"""Just enough Tcl to read scripts and constraints without Vivado, on machines that have no Tcl."""

from collections.abc import Callable

CLOSING = {"{": "}", "[": "]", '"': '"'}


def commands(script: str) -> list[list[str]]:
    """The commands of a script, each as its words; nothing is substituted, braces and quotes around a word are gone.

    Raises:
        ValueError: for a brace, bracket or quote that is not closed or was not opened, with its line.
    """
    found, words, at = [], [], 0
    while at < len(script):
        char = script[at]
        if char == "#" and not words:
            at = next_line(script, at)
        elif char in "\n;":
            if words:
                found.append(words)
            words, at = [], at + 1
        elif char in " \t" or script.startswith("\\\n", at):
            at += 1 if char in " \t" else 2
        else:
            end = word_end(script, at)
            words.append(script[at + 1 : end - 1] if char in '{"' else script[at:end])
            at = end
    return [*found, words] if words else found


def next_line(script: str, at: int) -> int:
    """The start of the next line."""
    end = script.find("\n", at)
    return len(script) if end < 0 else end + 1


def word_end(script: str, at: int) -> int:
    """Where the word that starts at ``at`` ends."""
    if script[at] in '{"':
        end = closed(script, at)
        if end < len(script) and script[end] not in " \t\n;":
            raise wrong(script, end, f"{script[end]!r} must not follow a closing {script[end - 1]!r}")
        return end
    while at < len(script) and script[at] not in " \t\n;":
        if script[at] in "}]":
            raise wrong(script, at, f"{script[at]!r} was not opened")
        at = closed(script, at) if script[at] == "[" else at + (2 if script[at] == "\\" else 1)
    return at


def closed(script: str, start: int) -> int:
    """The place behind what closes the brace, bracket or quote at ``start``."""
    opening, at = script[start], start + 1
    inner: Callable[[str], bool] = {"{": "{".__eq__, "[": '[{"'.__contains__, '"': "[".__eq__}[opening]
    while at < len(script):
        if script[at] == "\\":
            at += 2
        elif script[at] == CLOSING[opening]:
            return at + 1
        elif inner(script[at]):
            at = closed(script, at)
        else:
            at += 1
    raise wrong(script, start, f"{opening!r} is not closed")


def wrong(script: str, at: int, what: str) -> ValueError:
    """What is wrong, with its line."""
    return ValueError(f"line {script.count(chr(10), 0, at) + 1}: {what}")
