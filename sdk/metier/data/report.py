"""Statistics of a data file before training: one pass, in memory that does not grow with the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.contracts.adapter import DataAdapter
from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract
from metier.data.load import adapter_for, every_row
from metier.data.near_duplicates import NEAR, near_pairs
from metier.data.pii import find_pii
from metier.data.streaming_stats import Column, ColumnReport, Doubles, Reservoir
from metier.readers.encoding import detect_encoding
from metier.readers.json_values import as_text
from metier.readers.row import Row
from metier.readers.tables import kind_of, read_rows

BAD_KEPT = 100
"""Bad rows given in full; all of them are counted."""
NEAR_ROWS = 2_000
"""Rows among which near-duplicates are sought: a uniform sample of the file beyond that many."""
EVERY = 5_000
"""Rows between two calls of `progress`."""


class DataReport(Data):
    """What one file holds."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    file: str
    size: int
    """Bytes on disk."""
    format: str
    encoding: str | None = None
    """None for formats that are not text."""
    task: str | None = None
    """The task whose samples the rows were checked as; None for plain rows."""
    data_adapter: str | None = None
    """The data adapter that read the file; None where columns were matched with the task's fields."""
    rows: int
    """Good and bad."""
    good_rows: int
    bad_rows: int
    bad: list[BadRow] = []
    """The first 100."""
    bad_fields: dict[str, int] = {}
    """Field → bad rows that name it."""
    columns: list[ColumnReport]
    duplicates: int
    """Rows that repeat an earlier one."""
    duplicates_estimated: bool = False
    near_duplicates: int
    """Rows nearly like another, among `near_duplicates_among`."""
    near_duplicates_among: int
    """How many rows were compared: all, or a random 2,000."""
    personal_data: dict[str, int] = {}
    """Kind → pieces found."""
    personal_data_at: list[str] = []
    """The first 20 places (file:line field kind), without the data itself."""


def data_report(
    task: TaskContract | None,
    path: str | Path,
    *,
    adapters: Sequence[DataAdapter] = (),
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> DataReport:
    """Read a file once and report its contents.

    Args:
        task: check rows as samples of it; None reports plain rows.
        path: a table, or a file that one of the adapters reads.
        adapters: the trade's data adapters.
        columns: header → field.
        encoding: of a text file; detected where not given.
        sheet: of a workbook; the first where not given.
        progress: called with ("reading", rows so far, None) now and then.

    Raises:
        DataError: the file as a whole cannot be read. Bad rows are reported, not raised.
    """
    file = Path(path).expanduser()
    format_name, text_encoding = _format_of(file, encoding)
    items: Iterable[Row | Sample | BadRow]
    if task is None:
        items = read_rows(file, encoding=encoding, sheet=sheet)
    else:
        items = every_row(task, file, adapters=adapters, columns=columns, encoding=encoding, sheet=sheet)
    adapter = adapter_for(file, adapters, columns) if task else None
    fields: dict[str, Column] = {}
    doubles, sample_rows = Doubles(), Reservoir(NEAR_ROWS)
    bad: list[BadRow] = []
    bad_fields: Counter[str] = Counter()
    personal: Counter[str] = Counter()
    places: list[str] = []
    good_count = bad_count = 0
    for count, item in enumerate(items, start=1):
        if progress and count % EVERY == 0:
            progress("reading", count, None)
        if isinstance(item, BadRow):
            bad_count += 1
            if len(bad) < BAD_KEPT:
                bad.append(item)
            if item.field:
                bad_fields[item.field] += 1
            continue
        good_count += 1
        cells = _cells(item)
        for name, text in cells.items():
            if (column := fields.get(name)) is None:
                column = fields[name] = Column(name)
                column.empty = good_count - 1  # earlier rows did not have it
            column.add(text)
            for piece in find_pii(text):
                personal[piece.kind] += 1
                if len(places) < 20:
                    places.append(f"{item.provenance} {name} {piece.kind}")
        if len(cells) < len(fields):
            for name in fields.keys() - cells.keys():
                fields[name].empty += 1
        row_text = "\x1f".join(cells.values())
        doubles.add(row_text)
        sample_rows.add(row_text)
    distinct = list(dict.fromkeys(sample_rows.items))
    return DataReport(
        file=str(file),
        size=file.stat().st_size,
        format=format_name,
        encoding=text_encoding,
        task=task.name if task else None,
        data_adapter=adapter.name if adapter else None,
        rows=good_count + bad_count,
        good_rows=good_count,
        bad_rows=bad_count,
        bad=bad,
        bad_fields=dict(bad_fields.most_common()),
        columns=[column.report() for column in fields.values()],
        duplicates=doubles.count,
        duplicates_estimated=doubles.estimated,
        near_duplicates=len({later for later, _ in near_pairs(distinct, NEAR)}),
        near_duplicates_among=len(sample_rows.items),
        personal_data=dict(personal.most_common()),
        personal_data_at=places,
    )


def _format_of(file: Path, encoding: str | None) -> tuple[str, str | None]:
    try:
        format_name = kind_of(file)
    except DataError:
        if not file.is_file():
            raise
        return file.suffix.lstrip(".").lower() or "unknown", None  # a data adapter may read it; else reading raises
    return format_name, (encoding or detect_encoding(file)) if format_name in {"delimited", "lines"} else None


def _cells(item: Row | Sample) -> dict[str, str]:
    if isinstance(item, Row):
        return {name: _text(value) for name, value in item.values.items()}
    return {
        f"{side}.{name}": _text(value)
        for side, values in (("input", item.input), ("output", item.output))
        for name, value in values.items()
    }


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else as_text(value)
