"""From a table's rows to a contract's samples: columns mapped, cells typed, both sides checked against the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow, Provenance, Sample, Value
from metier.contracts.schema import problems
from metier.contracts.task import TaskContract
from metier.data.coerce import ABSENT, coerce
from metier.data.columns import Target, map_columns
from metier.readers.row import Row

Build = Callable[[Mapping[str, Any]], tuple[Value, Value] | None]
"""A row's cells → (input, output), or None for a row that is not a sample. A ValueError makes it a bad row."""


def samples_from(
    rows: Iterable[Row | BadRow],
    task: TaskContract,
    *,
    columns: Mapping[str, str] | None = None,
    synonyms: Mapping[str, Iterable[str]] | None = None,
    build: Build | None = None,
    licence: str | None = None,
) -> Iterator[Sample | BadRow]:
    """Samples and bad rows in the rows' order, one at a time.

    A JSON row that already is `{"input": {…}, "output": {…}}` is used unchanged.

    Raises:
        UsageError, DataError: the columns do not fit the contract (see `map_columns`).
    """
    header: tuple[str, ...] | None = None
    mapping: dict[str, Target] = {}
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            if build is not None:
                pair = build(row.values)
                if pair is None:
                    yield _bad(row, None, "the row is not a sample")
                    continue
            elif _is_pair(row.values):
                pair = row.values["input"], row.values["output"]
            else:
                if header != tuple(row.values):
                    mapping = _mapping(task, row, columns, synonyms, first=header is None)
                    header = tuple(row.values)
                pair = _pair(mapping, row.values)
        except _CellError as error:
            yield _bad(row, error.field, str(error))
            continue
        except ValueError as error:
            yield _bad(row, None, str(error))
            continue
        sample = Sample(
            task=task.name,
            input=pair[0],
            output=pair[1],
            language=_language(row.values, mapping),
            provenance=row.provenance if licence is None else row.provenance.model_copy(update={"licence": licence}),
        )
        yield check_sample(task, sample)


def check_sample(task: TaskContract, sample: Sample) -> Sample | BadRow:
    """`sample` if both sides satisfy the contract, else a bad row that names the first field that does not.

    The output must satisfy the schema narrowed to this input (`x-metier-one-of`), as in `TaskContract.check_sample`.
    """
    for side, value in (("input", sample.input), ("output", sample.output)):
        schema = task.input if side == "input" else task.for_input(sample.input).output
        if found := problems(schema, value):
            place = sample.provenance or Provenance(source="sample")
            return BadRow(
                provenance=place,
                field=f"{side}.{found[0].field}" if found[0].field else side,
                reason=found[0].reason,
            )
    return sample


class _CellError(ValueError):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _pair(mapping: Mapping[str, Target], values: Mapping[str, Any]) -> tuple[Value, Value]:
    sides: dict[str, Value] = {"input": {}, "output": {}}
    for column, target in mapping.items():
        try:
            value = coerce(target.schema, values.get(column))
        except ValueError as error:
            raise _CellError(column, str(error)) from error
        if value is ABSENT or (value == "" and not target.required):
            if target.required:
                raise _CellError(column, "the cell is empty")
            continue
        if value == "" and target.required:
            raise _CellError(column, "the cell is empty")
        sides[target.side][target.field] = value
    return sides["input"], sides["output"]


def _mapping(
    task: TaskContract,
    row: Row,
    columns: Mapping[str, str] | None,
    synonyms: Mapping[str, Iterable[str]] | None,
    *,
    first: bool,
) -> dict[str, Target]:
    """The mapping for rows with these keys. Only JSON Lines rows differ in keys: there a later row that lacks a
    field is a bad row, while a first row that lacks it means that the columns do not fit."""
    place = row.provenance
    # Only JSON Lines and Parquet have a record on line 1: in other formats line 1 is the header.
    where = str(place if place.line == 1 else place.model_copy(update={"line": 1}))
    try:
        return map_columns(task, list(row.values), columns=columns, synonyms=synonyms, where=where)
    except DataError as error:
        if first:
            raise
        raise ValueError(error.what) from error


def _is_pair(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get("input"), dict) and isinstance(values.get("output"), dict)


def _language(values: Mapping[str, Any], mapping: Mapping[str, Target]) -> str | None:
    for column in ("language", "lang"):
        value = values.get(column)
        if column not in mapping and isinstance(value, str) and value:
            return value
    return None


def _bad(row: Row, field: str | None, reason: str) -> BadRow:
    return BadRow(provenance=row.provenance, field=field, reason=reason)
