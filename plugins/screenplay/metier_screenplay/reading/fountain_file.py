"""Fountain screenplays, read into samples as they stream by."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_screenplay.reading.files import lines_of, start_of
from metier_screenplay.reading.samples_from import samples_of
from metier_screenplay.script import read
from metier_screenplay.tasks import SCENE

_SUFFIXES = {".fountain", ".spmd"}
_SIGNATURE = re.compile(r"(?m)\A(?:title|author|credit|logline)\s*:|^(?:INT|EXT|EST|I/E)[./ ]", re.I)


@dataclass(frozen=True)
class FountainFile:
    """One sample a scene of a `.fountain` file, or of a `.md` or `.txt` file that starts as one, flush left."""

    name: str = "fountain"
    task: str = SCENE
    example: Path = Path(__file__).parent.parent / "examples" / "lighthouse.fountain"

    def accepts(self, path: Path) -> bool:
        """By suffix; where that says too little, by a title page or a flush scene heading. Never raises."""
        suffix = path.suffix.lower()
        if suffix in _SUFFIXES:
            return path.is_file()
        start = start_of(path) if suffix in {".md", ".txt", ".text"} else ""
        # Deep indentation is a typewriter's layout, hard line breaks and all: the plain-text reader's.
        return bool(_SIGNATURE.search(start)) and not re.search(r"(?m)^(?: {10}|\t\t)", start)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Scenes in the file's order.

        Raises:
            DataError: the file cannot be read as text.
        """
        bad: deque[BadRow] = deque()
        for row in samples_of(read(lines_of(path, bad.append)), str(path)):
            yield from in_order(bad, row)
        yield from bad


def in_order(bad: deque[BadRow], row: Sample | BadRow) -> Iterator[Sample | BadRow]:
    """Bad lines before a row, and the row."""
    here = row.provenance.line if row.provenance and row.provenance.line else 1
    while bad and (bad[0].provenance.line or 1) <= here:
        yield bad.popleft()
    yield row
