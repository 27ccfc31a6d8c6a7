"""Samples on disk: JSON Lines, one `Sample` a line; the short form `{"input": …, "output": …}` is read as well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from metier.contracts.documents import first_problem, other_version
from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow, Provenance, Sample
from metier.data.load import error_of_row
from metier.disk import atomic_file
from metier.readers.json_lines import read_json_lines


def write_samples(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write samples atomically; returns their number."""
    count = 0
    with atomic_file(Path(path)) as file:
        for sample in samples:
            values = sample.model_dump(mode="json", exclude_none=True, exclude={"input", "output"})
            # None inside input and output is data, not absence.
            values |= {"input": sample.input, "output": sample.output}
            file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def samples_in(path: Path) -> list[Sample]:
    """Samples of a file that need not be there.

    Raises:
        DataError: as `read_samples`.
    """
    return list(read_samples(path)) if path.is_file() else []


def read_samples(path: str | Path, *, task: str | None = None, licence: str | None = None) -> Iterator[Sample]:
    """Samples of a file, one at a time; none where it is empty.

    Args:
        path: JSON Lines.
        task: full name of the task, for rows without one.
        licence: for rows whose provenance has none.

    Raises:
        DataError: with file, line and field of the first row that is not a sample.
    """
    file = Path(path)
    if file.is_file() and not file.stat().st_size:
        return
    for row in read_json_lines(file, encoding="utf-8"):
        if isinstance(row, BadRow):
            raise error_of_row(row)
        values = {"task": task, **row.values} if task else row.values
        try:
            sample = Sample.model_validate(values)
        except ValidationError as error:
            raise DataError(
                other_version(error, "the sample") or first_problem(error),
                where=str(row.provenance),
                remedy='a row is {"task": …, "input": {…}, "output": {…}}',
            ) from error
        place = sample.provenance or Provenance(source=file.name, line=row.provenance.line)
        if licence and place.licence is None:
            place = place.model_copy(update={"licence": licence})
        yield sample.model_copy(update={"provenance": place})
