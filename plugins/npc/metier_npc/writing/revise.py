"""New words for lines of a script that exists: only they change, every other character of the file stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from metier.contracts import DataError, UsageError
from metier_npc.scripts import ink, yarn
from metier_npc.scripts.item import Item, lines_of, write
from metier_npc.writing import ink as ink_words
from metier_npc.writing import yarn as yarn_words

_FORMATS: dict[str, tuple[Callable[[Iterable[tuple[int, str]]], Iterator[Item]], Callable[[str], str]]] = {
    ".ink": (ink.read, ink_words.escape),
    ".yarn": (yarn.read, yarn_words.escape),
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
    read, escape = _FORMATS[path.suffix.lower()]
    items = list(read(lines_of(path)))
    spoken = {item.line for item in items if item.kind == "line" and item.text}
    if lost := sorted(set(lines) - spoken):
        raise DataError(
            "this line has no spoken text", where=f"{path}:{lost[0]}", remedy="take the line from a sample's provenance"
        )
    return write(replace(item, text=escape(lines[item.line])) if item.line in lines else item for item in items)
