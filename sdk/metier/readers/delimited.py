"""CSV and TSV (RFC 4180) through the csv module, with the physical line of every row and recovery after a bad one."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from metier.contracts.sample import BadRow, Provenance
from metier.readers.encoding import TextLines, line_problem
from metier.readers.row import Row, bad, checked_header, no_table

DELIMITERS = ",;\t|"
CELL_LIMIT = 131_072
"""Characters in one cell; the csv module's own default. Beyond it a quote was not closed, or no model reads it."""
_EXCEL_MARK = re.compile('\ufeff?"?sep=([^\\w\\s"]|\t)"?\\s*', re.IGNORECASE)
"""The line by which Excel is told a delimiter."""
_QUOTES = "double the quotes inside the cell, and close the last one"


def read_delimited(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Iterator[Row | BadRow]:
    """Rows of a CSV or TSV file whose first row is the header.

    Args:
        path: the file, gzipped or not.
        encoding: detected where not given.
        delimiter: chosen by the header from comma, semicolon, tab and bar where not given.

    Raises:
        DataError: the file is empty, or has no header, or none but a header, or its encoding is not known.
    """
    lines = TextLines(path, encoding)
    records = _records(lines, delimiter)
    first = next(records, None)
    if first is None:
        raise no_table(path, "the file is empty", remedy="give a file with a header and rows")
    line, cells = first
    if isinstance(cells, str):
        raise no_table(path, f"the header cannot be read: {cells}", line=line)
    names = checked_header(path, cells, line=line)
    source, width, seen = str(path), len(names), False
    for line, cells in records:
        seen = True
        if isinstance(cells, str):
            yield bad(path, line, cells, remedy=_QUOTES if "quote" in cells else None)
        elif len(cells) == width or (len(cells) > width and not any(cells[width:])):
            yield Row(dict(zip(names, cells, strict=False)), Provenance(source=source, line=line))
        elif len(cells) < width:
            yield bad(
                path,
                line,
                f"there are {len(cells)} cells where the header has {width}{_other_delimiter(cells, names)}",
                remedy="fill the row, or quote the cells that hold line breaks",
            )
        else:
            yield bad(
                path,
                line,
                f"there are {len(cells)} cells where the header has {width}",
                remedy="quote the cells that hold the delimiter",
            )
    if not seen:
        raise no_table(path, "there is a header, but no rows", line=1, remedy="give a file with rows")


def _records(lines: TextLines, delimiter: str | None) -> Iterator[tuple[int, list[str] | str]]:
    """(line where it starts, cells or what is wrong). After a row that cannot be parsed, parsing continues at the
    next line, so that one quote left open costs one row and not the rest of the file."""
    source = iter(lines)
    waiting: deque[str] = deque()  # lines that a failed row had swallowed
    record: list[str] = []
    line = 1  # of the next record

    def feed() -> Iterator[str]:
        while True:
            text = waiting.popleft() if waiting else next(source, None)
            if text is None:
                return
            record.append(text)
            yield text

    reader: Iterator[list[str]] | None = None
    while True:
        record.clear()
        if reader is None:
            if delimiter is None:
                first = next(source, None)
                if first is None:
                    return
                if mark := _EXCEL_MARK.fullmatch(first):  # not a row: it names the delimiter of those below
                    delimiter, line = mark[1], line + 1
                else:
                    waiting.append(first)
                    delimiter = _delimiter(first)
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            cells: list[str] | str | None = next(reader, None)
        except csv.Error as error:
            cells, reader = _csv_problem(error, len(record)), None
            waiting.extendleft(reversed(record[1:]))
            del record[1:]
        if cells is None:
            return
        problem = next((p for p in (line_problem(text, lines.encoding) for text in record) if p), None)
        if problem or cells:  # an empty list is a blank line
            yield line, problem or cells
        line += len(record)


def _csv_problem(error: csv.Error, lines: int) -> str:
    text = str(error)
    if "field larger" in text:
        return f"a cell is longer than {CELL_LIMIT} characters, or its quote is not closed"
    if "unexpected end" in text:
        return "a quote is not closed"
    if "expected after" in text:
        return "a quote is not closed" if lines > 1 else "a quote inside a quoted cell is not doubled"
    return text


def _delimiter(header: str) -> str:
    bare = "".join(header.split('"')[::2])  # the text outside quotes
    return max(DELIMITERS, key=lambda mark: (bare.count(mark), -DELIMITERS.index(mark)))


def _other_delimiter(cells: list[str], names: list[str]) -> str:
    if len(cells) == 1:
        for mark in DELIMITERS:
            if cells[0].count(mark) == len(names) - 1:
                return f"; it seems to be delimited by {mark!r}"
    return ""
