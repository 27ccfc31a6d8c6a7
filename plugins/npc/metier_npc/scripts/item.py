"""One piece of a dialogue script, whatever the format: its own characters, and what they mean. Reads no files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metier.contracts import DataError

Kind = Literal["line", "choice", "node", "other", "bad"]
LONGEST = 20_000
"""Characters of a physical line that is still parsed: a file without line ends must not take for ever."""

_NAME = r"[^\W\d_a-z][\w'’.-]*(?: (?:of |the |de |von )?[A-Z0-9][\w'’.-]*){0,2}"
SPEAKER = re.compile(rf"({_NAME})(?:: +|: ?(?=[\"“])|：\s*)(?=\S)")
"""`Mira: ` or `老周：` at the start of a line: up to three words, each with a capital (or in a script without them)."""


@dataclass(frozen=True)
class Item:
    """The content of one line of a script (or several, where the format lets a string continue).

    `lead + text + tail` are its characters; only `text` is spoken, so that a writer may change it and keep the rest.
    """

    kind: Kind
    line: int
    lead: str = ""
    text: str = ""
    tail: str = ""
    display_text: str = ""
    """The text as a player reads it: escapes undone, markup away, the first of several alternatives."""
    speaker: str | None = None
    conditions: tuple[str, ...] = ()
    """Conditions on the item itself."""
    within: tuple[str, ...] = ()
    """Conditions of the enclosing blocks, outermost first; empty text for a block without one."""
    alternative: int = 0
    """Line of the branch it belongs to, where only one of several branches is said at a time; 0 elsewhere."""
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Choices within a line (Twine)."""
    target: str | None = None
    glued: bool = False
    """Whether it goes on in the line of the item before, as Ink's `<>` says; `display_text` then may begin with a
    space."""
    problem: str = ""
    """Why a `bad` item cannot be read."""
    depth: int = 0
    """How many choices lead here within the node."""
    node: str = ""


def write(items: Iterable[Item]) -> str:
    """The script's characters again."""
    return "".join(f"{item.lead}{item.text}{item.tail}" for item in items)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Physical lines with their numbers and ends, one at a time.

    Raises:
        DataError: the file cannot be read as text.
    """
    from metier.readers.encoding import TextLines

    try:
        source = TextLines(path)
        for text in source:
            yield source.number, text
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="check the path"
        ) from error


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a text, as `lines_of` gives those of a file."""
    yield from enumerate(re.findall(r"[^\n\r]*(?:\r\n|\n|\r)|[^\n\r]+$", text), 1)


def split_end(raw: str) -> tuple[str, str]:
    """A line without its end, and the end."""
    body = raw.rstrip("\r\n")
    return body, raw[len(body) :]


def cut(text: str, start: int, stop: int) -> tuple[str, str, str]:
    """The text in three, the middle without white space around it."""
    middle = text[start:stop]
    start += len(middle) - len(middle.lstrip())
    stop = max(start, stop - (len(middle) - len(middle.rstrip())))
    return text[:start], text[start:stop], text[stop:]


def speaker_in(text: str) -> tuple[str | None, int]:
    """Who speaks, by a `Name: ` ahead of the words, and how many characters that takes."""
    found = SPEAKER.match(text)
    return (found[1], found.end()) if found else (None, 0)


def unparsable(raw: str, line: int) -> Item | None:
    """A bad item for a line that no parser should be given; None where it is fit."""
    if len(raw) > LONGEST:
        return Item("bad", line, text=raw, problem=f"it has more than {LONGEST} characters")
    return Item("bad", line, text=raw, problem="it holds a NUL byte") if "\0" in raw else None
