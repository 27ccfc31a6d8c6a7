"""Tables (CSV, TSV, JSONL, Parquet, Excel), read lazily; the first bytes decide the format, then the suffix."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from metier.contracts.errors import DataError
from metier.contracts.sample import BadRow
from metier.readers.delimited import read_delimited
from metier.readers.encoding import open_bytes
from metier.readers.excel import read_excel
from metier.readers.json_lines import read_json_lines
from metier.readers.parquet import read_parquet
from metier.readers.row import Row, no_table

__all__ = ["SUFFIXES", "Row", "read_rows"]

_DELIMITED = {".csv": None, ".txt": None, ".tsv": "\t", ".tab": "\t"}
_LINES = {".jsonl", ".ndjson", ".json"}
SUFFIXES = frozenset({*_DELIMITED, *_LINES, ".parquet", ".pq", ".xlsx", ".xlsm"})
"""What `read_rows` reads; text formats also with `.gz` behind."""


def read_rows(
    path: str | Path, *, encoding: str | None = None, sheet: str | None = None
) -> Generator[Row | BadRow, None, None]:
    """Rows of a table in the file's order, one at a time; nothing is opened before the first.

    Args:
        path: CSV, TSV, JSONL (each also gzipped), Parquet or Excel.
        encoding: of a text file; detected where not given.
        sheet: of a workbook; the first where not given.

    Yields:
        `Row`, or `BadRow` in place of a row that cannot be read.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    file = Path(path).expanduser()
    kind = kind_of(file)
    if kind == "excel":
        yield from read_excel(file, sheet=sheet)
    elif kind == "parquet":
        yield from read_parquet(file)
    elif kind == "lines":
        yield from read_json_lines(file, encoding=encoding)
    else:
        yield from read_delimited(file, encoding=encoding, delimiter=_DELIMITED.get(_suffix(file)))


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def is_table(path: Path) -> bool:
    """Whether `read_rows` has a reader for the file.

    Raises:
        DataError: the file does not exist.
    """
    try:
        kind_of(path)
    except DataError:
        if not path.is_file():
            raise
        return False
    return True


def kind_of(path: Path) -> str:
    """excel, parquet, lines or delimited; the first bytes take precedence over the suffix."""
    if path.is_dir():
        raise no_table(path, "this is a folder, not a file", remedy="name a file in it")
    try:
        with path.open("rb") as raw:
            magic = raw.read(8)
        if magic[:2] == b"\x1f\x8b":
            with open_bytes(path) as file:
                magic = file.read(8)
    except FileNotFoundError:
        raise no_table(path, "there is no such file", remedy="check the path") from None
    except (EOFError, OSError) as error:
        raise no_table(
            path, f"the file cannot be read: {error}", remedy="check the file and its permissions"
        ) from error
    suffix = _suffix(path)
    if not magic:
        raise no_table(path, "the file is empty", remedy="give a file with rows")
    if magic.startswith(b"\xd0\xcf\x11\xe0"):
        raise no_table(
            path,
            "this is an old Excel file (.xls), or one with a password",
            remedy="open it, and save it as .xlsx without a password",
        )
    if magic.startswith(b"PK\3\4"):
        return "excel"
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"\x7fELF")):
        raise no_table(path, "this is not a table", remedy="give a CSV, TSV, JSONL, Parquet or Excel file")
    if suffix in {".xlsx", ".xlsm"}:
        raise no_table(path, "this is named as an Excel workbook but is not one", remedy="save it as .xlsx again")
    if suffix in {".parquet", ".pq"}:
        raise no_table(path, "this is named as Parquet but is not", remedy="write or copy it again")
    if suffix in _LINES:
        return "lines"
    if suffix in _DELIMITED:
        return "delimited"
    raise no_table(
        path, f"files ending in {suffix or 'nothing'} are not known", remedy=f"known: {', '.join(sorted(SUFFIXES))}"
    )
