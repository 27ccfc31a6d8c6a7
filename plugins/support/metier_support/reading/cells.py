"""Cells of a table by any of the headers they go under, and text without markup. It does not know tasks.

The table reader is imported when a table is read, so that listing plugins stays quick.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.contracts import DataError, MetierError

if TYPE_CHECKING:
    from metier.contracts import BadRow
    from metier.readers.tables import Row

TABLES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".jsonl", ".parquet", ".gz"})
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,500}>|<br\s*/?>")


def first_row(path: Path) -> Row | None:
    """The first good row; None where the file is not a table that can be read. Never raises."""
    from metier.readers.tables import Row, read_rows

    if path.suffix.lower() not in TABLES:
        return None
    try:
        rows = read_rows(path)
        try:
            return next((row for row in rows if isinstance(row, Row)), None)
        finally:
            rows.close()
    except (MetierError, OSError, ValueError):
        return None


def column(row: Row, names: Iterable[str]) -> str | None:
    """The row's own name of the first of `names` (lower case) that it has; spaces and hyphens count as `_`."""
    have = {re.sub(r"[\s\-]+", "_", name.strip().casefold()): name for name in reversed(list(row.values))}
    return next((have[name] for name in names if name in have), None)


def rows_with(path: Path, columns: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Row, dict[str, str]] | BadRow]:
    """Rows of a table with the columns' own names: what is needed → the row's name of it.

    A JSONL row may lack what the first row has; a column that it lacks is left out of its mapping.

    Raises:
        DataError: the file is not a table, or its first row lacks a column; the message names what it has.
    """
    from metier.readers.tables import Row, read_rows

    checked = False
    for row in read_rows(path):
        if not isinstance(row, Row):
            yield row
            continue
        named = {wanted: found for wanted, names in columns.items() if (found := column(row, names))}
        if not checked and (lost := [wanted for wanted in columns if wanted not in named]):
            raise DataError(
                f"there is no column {lost[0]}; the columns are {', '.join(list(row.values)[:20]) or 'none'}",
                where=f"{path}:1",
                remedy=f"name one of the columns {' or '.join(columns[lost[0]][:4])}",
            )
        checked = True
        yield row, named


def text(value: Any) -> str:
    """A cell as plain text on one line: markup and entities undone, an integral float without `.0`, empty for None."""
    if value is None or isinstance(value, list | dict | bool):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    cleaned = str(value)
    if "<" in cleaned:
        cleaned = _TAG.sub(" ", cleaned)
    if "&" in cleaned:
        cleaned = html.unescape(cleaned)
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in cleaned).split())
