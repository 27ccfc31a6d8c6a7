"""Lines as Ink: each node a knot that is called as a tunnel, variants as a shuffle."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metier_npc.scripts.item import speaker_in
from metier_npc.writing.spoken import Spoken, unique

_SPECIAL = re.compile(r"[\\{}|#\[\]~]|->|<-|<>|//|/\*")
_FIRST = re.compile(r"^(?:[-*+=~&!(]|(?:VAR|CONST|LIST|EXTERNAL|INCLUDE|TODO)\b)")


def escape(text: str) -> str:
    """Text escaped so that Ink prints it literally (*Writing with Ink*: a backslash before each special character)."""
    text = _SPECIAL.sub(lambda m: "".join(f"\\{c}" for c in m[0]), " ".join(text.split()))
    return f"\\{text}" if _FIRST.match(text) else text


def line(speaker: str, text: str, tags: Iterable[str] = ()) -> str:
    """One line with its speaker and tags."""
    words = escape(text)
    recognised, _ = speaker_in(f"{speaker}: x")
    head = f"{speaker}: " if recognised == speaker else ""
    # A name that reads like a sentence's start goes into a tag, where it cannot be mistaken.
    tags = tags if head or not speaker else (f"speaker:{speaker}", *tags)
    if not head:  # `Note: run` must not make Note a speaker
        words = re.sub(r"^([^\s:：\\][^:：\\]{0,60})([:：])", r"\1\\\2", words)
    return head + words + "".join(f" #{escape(tag)}" for tag in tags)


def write_ink(spoken: Iterable[Spoken]) -> str:
    """A script that can be INCLUDEd; play a node with `-> name ->`."""
    items = list(spoken)
    out = []
    for item, name in zip(items, unique([item.name for item in items]), strict=True):
        lines = [line(item.speaker, text, item.tags) for text in item.lines]
        body = lines if len(lines) == 1 else ["{shuffle:", *(f"- {text}" for text in lines), "}"]
        out.append("\n".join([f"=== {name} ===", *body, "->->", ""]))
    return "\n".join(out)
