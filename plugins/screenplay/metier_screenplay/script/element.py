"""One element of a screenplay, whatever file it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "title", "heading", "action", "character", "parenthetical", "dialogue", "lyrics", "transition", "centered",
    "section", "synopsis", "note", "boneyard", "page_break",
]  # fmt: skip
SPOKEN: frozenset[str] = frozenset({"parenthetical", "dialogue", "lyrics"})
"""Elements that may follow a cue."""
UNSEEN: frozenset[str] = frozenset({"section", "synopsis", "note", "boneyard"})
"""What Fountain keeps for the writer and leaves out of the printed page."""


@dataclass(frozen=True)
class Element:
    """A piece of a screenplay; `text` has no Fountain marks but emphasis, inline notes and inline boneyard."""

    kind: Kind
    text: str
    line: int = field(default=0, compare=False)
    """1-based line of the source; 0 where it was made, not read."""
    before: int = 0
    """Blank lines ahead of it: Fountain takes every carriage return as intended."""
    number: str | None = None
    """A heading's scene number."""
    key: str = ""
    """A title page entry's key."""
    depth: int = 0
    """A section's level, from 1."""
    dual: bool = False
    """A cue whose dialogue is printed beside the previous one."""


_LONGEST = 4_000
"""Characters up to which emphasis is looked for: beyond, it is no line of a screenplay."""
_EMPHASIS = re.compile(r"(?<!\\)(\*{1,3}|_)(?=\S)(.+?)(?<=[^\s\\])\1")
_EXTENSION = re.compile(r"\s*\([^()]*\)?\s*$")


def hidden(text: str) -> list[tuple[int, int]]:
    """Spans of boneyard and notes in a text, in order; found in linear time."""
    spans, at = [], 0
    ends = {"/*": "*/", "[[": "]]"}
    while ends:
        start, mark = min(((text.find(m, at), m) for m in ends if text.find(m, at) >= 0), default=(-1, ""))
        if start < 0:
            break
        stop = text.find(ends[mark], start + 2)
        if stop < 0:
            del ends[mark]
            continue
        spans.append((start, stop + 2))
        at = stop + 2
    return spans


def shown(text: str) -> str:
    """The text without boneyard and notes."""
    if "/*" not in text and "[[" not in text:
        return text
    kept, at = [], 0
    for start, stop in hidden(text):
        kept.append(text[at:start])
        at = stop
    return "".join([*kept, text[at:]])


def plain(text: str) -> str:
    """The words as they are printed: hidden parts and emphasis marks away, escapes undone."""
    text = shown(text)
    for _ in range(3 if len(text) <= _LONGEST else 0):
        text = _EMPHASIS.sub(r"\2", text)
    return re.sub(r"\\([*_])", r"\1", text)


def speaker(text: str) -> str:
    """The name in a cue, without its extensions: `STEEL (V.O.) (CONT'D)` gives `STEEL`."""
    name = " ".join(plain(text).split())
    for _ in range(4):
        name = _EXTENSION.sub("", name)
    return name.strip()
