"""One row of a user's table, with its place: what every reader gives and every data adapter takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow, Provenance


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column name: text from CSV and TSV, plain JSON values from the other formats, None for empty ones."""

    values: dict[str, Any]
    provenance: Provenance


def bad(path: Path, line: int, reason: str, *, field: str | None = None, remedy: str | None = None) -> BadRow:
    """A bad row at a physical line."""
    return BadRow(provenance=Provenance(source=str(path), line=line), field=field, reason=reason, remedy=remedy)


def no_table(path: Path, what: str, *, line: int | None = None, remedy: str | None = None) -> DataError:
    """The error for a file that cannot be read as a whole."""
    return DataError(what, where=f"{path}:{line}" if line else str(path), remedy=remedy)


def checked_header(path: Path, cells: list[str], *, line: int = 1) -> list[str]:
    """Column names from a header's cells: stripped, empty ones at the end left out.

    Raises:
        DataError: a name is empty or repeated.
    """
    names = [cell.strip().lstrip("\ufeff") for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise no_table(path, "the header is empty", line=line, remedy="give the columns names in the first row")
    if "" in names:
        raise no_table(
            path,
            f"column {names.index('') + 1} of the header has no name",
            line=line,
            remedy="give every column a name",
        )
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise no_table(
            path, f"the header names {', '.join(doubled)} twice", line=line, remedy="rename one of the columns"
        )
    return names
