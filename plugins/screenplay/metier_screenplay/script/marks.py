"""The marks by which Fountain recognises an element. Reader and writer share them, and so read what the other writes.

Two liberties beside fountain.io/syntax, both common among editors: a heading need not be followed by a blank line, and
a title page must hold one of the usual keys, so that `As she runs: a truck` at the start of a script stays action.
"""

from __future__ import annotations

import re

HEADING = re.compile(r"(?:INT\.?/EXT|EXT\.?/INT|I\.?/E|INT|EXT|EST)[. ]", re.I)
FORCED_HEADING = re.compile(r"\.(?=[^\W_]|[\[(\"'“‘])")
NUMBER = re.compile(r"#([\w.-]+)#$")
SECTION = re.compile(r"(#{1,6})\s*(.*)$", re.S)
PAGE_BREAK = re.compile(r"={3,}$")
PARENTHETICAL = re.compile(r"\(.*\)$", re.S)
TITLE_KEY = re.compile(r"([^\W\d_][^:\n]{0,40}):(.*)$")
TITLE_KEYS = frozenset(
    [
        "title", "credit", "author", "authors", "source", "notes", "date", "draft date", "contact", "contact info",
        "copyright", "revision", "format", "language", "font", "written by", "logline",
    ]
)  # fmt: skip
"""Keys that fountain.io names, and some that editors write."""


def is_cue(visible: str) -> bool:
    """Whether a line reads as a character's cue: capitals throughout ahead of its extension."""
    return visible.partition("(")[0].isupper()


def is_transition(visible: str) -> bool:
    """Whether a line between blank ones reads as a transition."""
    return visible.endswith("TO:") and visible.isupper()
