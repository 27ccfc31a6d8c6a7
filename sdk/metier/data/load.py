"""A user's file as samples of a task: by the trade's data adapter that accepts it, else by column names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.contracts.adapter import DataAdapter
from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical
from metier.data.adapter import TableAdapter
from metier.data.sampling import check_sample, samples_from
from metier.readers.tables import is_table, read_rows

OnBad = Literal["raise", "skip"]


def load_samples(
    task: TaskContract,
    path: str | Path,
    *,
    adapters: Sequence[DataAdapter] = (),
    columns: Mapping[str, str] | None = None,
    on_bad: OnBad = "raise",
    bad: list[BadRow] | Callable[[BadRow], None] | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> Iterator[Sample]:
    """Samples of a file, one at a time, each checked against the contract.

    Args:
        task: the contract.
        path: any table, or whatever one of the adapters takes.
        adapters: the trade's own, in order of preference; the first that accepts the file reads it.
        columns: header → field. It takes precedence over the adapters; other fields are matched by the trade's headers.
        on_bad: `raise` at the first bad row, or `skip` it.
        bad: where skipped rows go. Without it a warning gives their number.
        encoding: of a text file; detected where not given.
        sheet: of a workbook; the first where not given.

    Raises:
        DataError: at a bad row (file, line, field), or where the file cannot be read or gives no sample.
    """
    found, skipped = 0, 0
    first: BadRow | None = None
    for item in every_row(task, path, adapters=adapters, columns=columns, encoding=encoding, sheet=sheet):
        if isinstance(item, Sample):
            found += 1
            yield item
        elif on_bad == "raise":
            raise error_of_row(item)
        else:
            skipped, first = skipped + 1, first or item
            if isinstance(bad, list):
                bad.append(item)
            elif bad is not None:
                bad(item)
    if skipped and bad is None:
        warnings.warn(f"{skipped} bad rows skipped, the first: {first}", stacklevel=2)
    if not found:
        raise DataError(
            f"no row gives a sample of {task.name}" + (f"; all {skipped} are bad, the first: {first}" if first else ""),
            where=str(path),
            remedy="run `metier data report` on the file",
        )


def every_row(
    task: TaskContract,
    path: str | Path,
    *,
    adapters: Sequence[DataAdapter] = (),
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> Iterator[Sample | BadRow]:
    """Samples and bad rows of a file in its order; `load_samples` without the choice."""
    file = Path(path).expanduser()
    adapter = adapter_for(file, adapters, columns)
    if adapter is None:
        rows = read_rows(file, encoding=encoding, sheet=sheet)
        yield from samples_from(rows, task, columns=columns, synonyms=_synonyms(task, adapters))
        return
    for item in adapter.read(file):
        yield check_sample(task, item) if isinstance(item, Sample) else item


def adapter_for(
    path: str | Path, adapters: Sequence[DataAdapter], columns: Mapping[str, str] | None = None
) -> DataAdapter | None:
    """The trade's own reader of a file: the first that accepts it; None where columns are given, or none accepts."""
    file = Path(path).expanduser()
    return None if columns else next((a for a in adapters if file.is_file() and a.accepts(file)), None)


def tasks_reading(path: str | Path, verticals: Iterable[Vertical]) -> list[TaskContract]:
    """Tasks with a data adapter for this file, where only adapters can read it; empty for a table any reader reads.

    Args:
        path: the user's file.
        verticals: trades, in order of preference.

    Raises:
        DataError: the file does not exist or cannot be opened.
    """
    file = Path(path).expanduser()
    if is_table(file):
        return []
    found = [
        vertical.task(adapter.task)
        for vertical in verticals
        for adapter in vertical.data_adapters
        if adapter_for(file, [adapter]) is not None
    ]
    return list({task.name: task for task in found}.values())


def _synonyms(task: TaskContract, adapters: Sequence[DataAdapter]) -> dict[str, list[str]]:
    """Field → what the trade's tables call it, for a file that lacks a column or has one under another name."""
    found: dict[str, list[str]] = {}
    for adapter in adapters:
        if isinstance(adapter, TableAdapter) and adapter.build is None and adapter.task == task.name:
            for field, headers in adapter.synonyms().items():
                found.setdefault(field, []).extend(headers)
    return found


def error_of_row(row: BadRow) -> DataError:
    """A bad row as the error that stops a run."""
    field = f"{row.field}: " if row.field else ""
    return DataError(
        f"{field}{row.reason}",
        where=str(row.provenance),
        remedy=row.remedy or "correct the row, or skip bad rows with --on-bad skip",
    )
