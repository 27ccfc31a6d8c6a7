"""Parquet through pyarrow, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from metier.contracts.sample import BadRow, Provenance
from metier.readers.json_values import plain
from metier.readers.row import Row, bad, checked_header, no_table

BATCH = 1024
"""Rows decoded at a time."""


def read_parquet(path: Path) -> Iterator[Row | BadRow]:
    """Rows of a Parquet file; `line` is the 1-based record.

    Raises:
        DataError: the file is damaged, or holds no rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, record = str(path), 0
    try:
        with pq.ParquetFile(path) as file:
            checked_header(path, list(file.schema_arrow.names))
            for batch in file.iter_batches(batch_size=BATCH):
                for values in batch.to_pylist():
                    record += 1
                    try:
                        yield Row({k: plain(v) for k, v in values.items()}, Provenance(source=source, line=record))
                    except TypeError as error:
                        yield bad(path, record, str(error))
    except (pa.ArrowException, OSError) as error:
        raise no_table(
            path,
            f"this Parquet file is damaged: {str(error).splitlines()[0]}",
            line=record + 1 if record else None,
            remedy="write or copy it again",
        ) from error
    if not record:
        raise no_table(path, "there are columns, but no rows", remedy="give a file with rows")
