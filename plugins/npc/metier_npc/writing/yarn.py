"""Lines as Yarn: each node a node, variants as a line group (Yarn Spinner 3), of which one is run at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metier_npc.writing.spoken import Spoken, unique

_SPECIAL = re.compile(r"[\\{}<>#\[\]]|//")


def escape(text: str) -> str:
    """Text escaped so that Yarn Spinner shows it literally."""
    text = _SPECIAL.sub(lambda m: "".join(f"\\{c}" for c in m[0]), " ".join(text.split()))
    return f"\\{text}" if text.startswith(("->", "=>", "===", "---")) else text


def line(speaker: str, text: str, tags: Iterable[str] = ()) -> str:
    """One line with its speaker and hashtags (which hold no spaces)."""
    words = escape(text)
    if not speaker:
        words = re.sub(r"^([^\s:：\\][^:：\\]{0,60})([:：])", r"\1\\\2", words)
    name = " ".join(re.sub(r"[:：\\{}<>\[\]#/]+", " ", speaker).split())
    head = f"{name}: " if name else ""
    marks = (re.sub(r"[\s#]+", "_", tag) for tag in tags)
    return head + words + "".join(f" #{mark}" for mark in marks)


def write_yarn(spoken: Iterable[Spoken]) -> str:
    """A Yarn file, one node after another."""
    items = list(spoken)
    out = []
    for item, name in zip(items, unique([item.name for item in items]), strict=True):
        mark = "=> " if len(item.lines) > 1 else ""
        lines = [mark + line(item.speaker, text, item.tags) for text in item.lines]
        out.append("\n".join([f"title: {name}", "---", *lines, "===", ""]))
    return "".join(out)
