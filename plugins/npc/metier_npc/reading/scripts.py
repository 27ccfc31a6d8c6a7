"""Data adapters of the four script formats: the format's reader, and the samples made of what it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_npc.reading.samples_from import samples_of
from metier_npc.scripts import ink, renpy, twee, yarn
from metier_npc.scripts.item import Item, lines_of
from metier_npc.tasks import LINE

MOST_FILES = 200
"""Scripts beside one that are looked through for its characters."""
LARGEST_FILE = 4 << 20
"""Bytes of such a script."""
_EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class ScriptAdapter:
    """Reads a game's script into samples of `npc.line`: one a spoken line, with its place."""

    name: str
    suffixes: tuple[str, ...]
    items: Callable[[Iterable[tuple[int, str]]], Iterator[Item]]
    example: Path
    signature: re.Pattern[str] | None = None
    """What must occur near the file's start, where the suffix alone says too little."""
    task: str = LINE

    def accepts(self, path: Path) -> bool:
        """Whether the suffix is the format's, and its start does not speak against it. Never raises."""
        if path.suffix.lower() not in self.suffixes:
            return False
        try:
            with path.open("rb") as file:
                start = file.read(65536)
        except (OSError, ValueError):
            return False
        # NUL bytes go: UTF-16's halves leave the same letters.
        text = start.replace(b"\0", b"").decode("utf-8", "replace")
        return self.signature is None or bool(self.signature.search(text))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples in the script's order.

        Raises:
            DataError: the file cannot be read as text.
        """
        yield from samples_of(self.items(lines_of(path)), str(path))


@dataclass(frozen=True)
class RenpyAdapter(ScriptAdapter):
    """Ren'Py's scripts, whose characters are often defined in another file of the game."""

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples in the script's order; names of characters come from the scripts beside it, too.

        Raises:
            DataError: the file cannot be read as text.
        """
        yield from samples_of(renpy.read(lines_of(path), _cast_beside(path)), str(path))


def _cast_beside(path: Path) -> dict[str, str | None]:
    """Names that the folder's other scripts give to variables; one that two of them name differently is left out."""
    found: dict[str, set[str | None]] = {}
    for file in sorted(path.parent.glob("*.rpy"))[:MOST_FILES]:
        try:
            if file == path or not file.is_file() or file.stat().st_size > LARGEST_FILE:
                continue
            text = file.read_text("utf-8", "replace")
        except OSError:
            continue
        for variable, name in renpy.characters(text).items():
            found.setdefault(variable, set()).add(name)
    return {variable: next(iter(names)) for variable, names in found.items() if len(names) == 1}


INK = ScriptAdapter("ink", (".ink",), ink.read, _EXAMPLES / "ferry.ink")
YARN = ScriptAdapter("yarn", (".yarn",), yarn.read, _EXAMPLES / "inn.yarn", re.compile(r"(?m)^\ufeff?\s*title\s*:"))
RENPY = RenpyAdapter("renpy", (".rpy",), renpy.read, _EXAMPLES / "station.rpy")
TWEE = ScriptAdapter("twee", (".twee", ".tw"), twee.read, _EXAMPLES / "cellar.twee", re.compile(r"(?m)^\ufeff?::"))
