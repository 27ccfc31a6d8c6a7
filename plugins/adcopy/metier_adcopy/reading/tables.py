"""The first look at a table that every adapter takes: its header, and an error where a needed column is missing.

The table reader is imported when a table is read, so that listing plugins stays quick.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from metier.contracts import BadRow, DataError, MetierError

if TYPE_CHECKING:
    from metier.readers.tables import Row

SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".jsonl", ".parquet"})


def header(path: Path) -> tuple[str, ...]:
    """Column names, or nothing where the file is not a table that can be read. Never raises."""
    from metier.readers.tables import read_rows

    if path.suffix.lower() not in SUFFIXES:
        return ()
    try:
        rows = read_rows(path)
        try:
            return next((tuple(row.values) for row in rows if not isinstance(row, BadRow)), ())
        finally:
            rows.close()
    except (MetierError, OSError, ValueError):
        return ()


def rows_with(path: Path, columns: Mapping[str, Collection[str]]) -> Iterator[Row | BadRow]:
    """Rows of a table that has each of the columns.

    Args:
        path: the file.
        columns: what is needed → the headers that would do, lower case.

    Raises:
        DataError: the file is not a table, or lacks a column; the message names what it has.
    """
    from metier.readers.tables import read_rows

    rows = read_rows(path)
    before: list[BadRow] = []
    for row in rows:
        if isinstance(row, BadRow):
            before.append(row)
            continue
        have = {name.strip().casefold() for name in row.values}
        for wanted, names in columns.items():
            if not have & set(names):
                raise DataError(
                    f"there is no column {wanted}; the columns are {', '.join(row.values) or 'none'}",
                    where=f"{path}:1",
                    remedy=f"name one of the columns {' or '.join(sorted(names)[:4])}",
                )
        yield from chain(before, [row], rows)
        return
    yield from before


def text(value: object) -> str:
    """A cell as text; an empty cell as the empty string, an integral float from a spreadsheet without `.0`."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def own_names(columns: Iterable[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """What is wanted → the table's own name of it; what it does not have is left out.

    Args:
        columns: the table's headers.
        wanted: name → headers that would do, lower case with `_` for spaces, separated by blanks, best first.
    """
    have = {_plain(column): column for column in reversed(list(columns))}
    return {
        name: have[spelling]
        for name, spellings in wanted.items()
        for spelling in [next((s for s in spellings.split() if s in have), None)]
        if spelling is not None
    }


def _plain(column: str) -> str:
    return re.sub(r"[\s\-]+", "_", column.strip().casefold())
