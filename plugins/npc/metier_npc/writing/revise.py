"""New words for lines of a script that exists: only they change, every other character of the file stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metier.contracts import DataError, UsageError
from metier_npc.scripts import ink, yarn
from metier_npc.scripts.item import Item, lines_of, write
from metier_npc.writing import ink as ink_words
from metier_npc.writing import yarn as yarn_words

_FORMATS: dict[str, tuple[Callable[[Iterable[tuple[int, str]]], Iterator[Item]], Any]] = {
    ".ink": (ink.read, ink_words),
    ".yarn": (yarn.read, yarn_words),
}


def revise(path: Path, lines: Mapping[int, str]) -> str:
    """The script with those lines replaced; speakers, tags, diverts and comments stay.

    Args:
        path: an Ink or Yarn file.
        lines: 1-based line (as a sample's provenance has it) → the new words.

    Raises:
        UsageError: neither Ink nor Yarn.
        DataError: the file cannot be read, or nothing is said on such a line.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"{path.name} is neither Ink nor Yarn", remedy="give a file ending in .ink or .yarn")
    read, words = _FORMATS[path.suffix.lower()]
    items = list(read(lines_of(path)))
    spoken = {item.line for item in items if item.kind == "line" and item.text}
    if lost := sorted(set(lines) - spoken):
        raise DataError(
            "this line has no spoken text", where=f"{path}:{lost[0]}", remedy="take the line from a sample's provenance"
        )

    def revised(item: Item) -> Item:
        if item.kind != "line" or not item.text or item.line not in lines:
            return item
        new = lines[item.line]
        # Where nobody is named, words such as `Warning: keep out.` must not name somebody.
        return replace(item, text=words.escape(new) if item.speaker else words.line("", new))

    return write(revised(item) for item in items)
