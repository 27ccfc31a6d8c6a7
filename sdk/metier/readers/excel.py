"""Excel workbooks (.xlsx) through openpyxl, row by row; cells that only look empty are reported, not read as empty."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

from metier.contracts.errors import DataError
from metier.contracts.nearest import did_you_mean
from metier.contracts.sample import BadRow, Provenance
from metier.readers.json_values import as_text, plain
from metier.readers.row import Row, checked_header, no_table

Merged = dict[tuple[int, int], str]
"""(row, column) of a covered cell, both 1-based → the cell that holds its value, such as A2."""


def read_excel(path: Path, *, sheet: str | None = None) -> Iterator[Row | BadRow]:
    """Rows of one worksheet whose first row with content is the header; `line` is the spreadsheet's row number.

    Args:
        path: the workbook.
        sheet: its worksheet; the first one where not given.

    Raises:
        DataError: it is not a workbook, the sheet does not exist, or the sheet has no rows.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever zipfile, its XML parser or a missing part raises
        raise no_table(
            path, f"this is not an Excel workbook that can be read: {error}", remedy="save it as .xlsx again"
        ) from error
    formulas = None
    try:
        page = _sheet(book, sheet, path)
        merged, has_formulas = _scan(path, page)
        if has_formulas:
            formulas = openpyxl.load_workbook(path, read_only=True)
        yield from _rows(path, page, formulas[page.title] if formulas else None, merged)
    finally:
        book.close()
        if formulas:
            formulas.close()


def _rows(path: Path, page: Any, formulas: Any, merged: Merged) -> Iterator[Row | BadRow]:
    names: list[str] = []
    source, title, seen = str(path), page.title, False
    page.reset_dimensions()  # the size that a file declares is often wrong
    if formulas is not None:
        formulas.reset_dimensions()
    written = formulas.iter_rows() if formulas is not None else repeat(())
    for number, (cells, formula) in enumerate(zip(page.iter_rows(), written, strict=False), start=1):
        if not any(cell.value is not None for cell in [*cells, *formula]):
            continue
        if not names:
            names = checked_header(path, [as_text(cell.value) for cell in cells], line=number)
            continue
        seen = True
        place = Provenance(source=source, line=number, sheet=title)
        values: dict[str, Any] = dict.fromkeys(names)
        wrong: tuple[str | None, str, str | None] | None = None
        for column, cell in enumerate(cells[: len(names)]):
            name, value = names[column], cell.value
            hidden = value is None and column < len(formula) and formula[column].value is not None
            if cell.data_type == "e":
                wrong = name, f"the cell holds the error {value}", "correct the formula"
            elif hidden:
                wrong = name, "the formula has no computed value", "open the workbook in Excel, and save it"
            elif value is None and (number, column + 1) in merged:
                wrong = name, f"the cell is merged with {merged[number, column + 1]}", "unmerge, and fill every cell"
            else:
                try:
                    values[name] = plain(value)
                except TypeError as error:
                    wrong = name, str(error), None
        if any(cell.value is not None for cell in cells[len(names) :]):
            wrong = names[-1], f"there are cells beyond the header's {len(names)} columns", "name every column"
        if wrong:
            field, reason, remedy = wrong
            yield BadRow(provenance=place, field=field, reason=reason, remedy=remedy)
        else:
            yield Row(values, place)
    if not seen:
        what = "there is a header, but no rows" if names else "the sheet is empty"
        raise no_table(path, f"{what} in sheet {title}", remedy="give a sheet with rows")


def _sheet(book: Any, name: str | None, path: Path) -> Any:
    pages = {page.title: page for page in book.worksheets}
    if not pages:
        raise no_table(path, "the workbook has no worksheet")
    if name is None:
        return next(iter(pages.values()))
    if name not in pages:
        raise DataError(
            f"there is no sheet {name}{did_you_mean(name, pages)}",
            where=str(path),
            remedy=f"its sheets: {', '.join(pages)}",
        )
    return pages[name]


_MERGE = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")
_OVERLAP = 200
"""Bytes kept from one block to the next, more than the longest match."""


def _scan(path: Path, page: Any) -> tuple[Merged, bool]:
    """Merged cells and whether there are formulas, from the sheet's XML: openpyxl's streaming mode hides both."""
    from openpyxl.utils import column_index_from_string

    merged: Merged = {}
    has_formulas, rest = False, b""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(page._worksheet_path.lstrip("/")) as file:
            while block := file.read(1 << 20):
                text = rest + block
                has_formulas = has_formulas or bool(_FORMULA.search(text))
                for match in _MERGE.finditer(text):
                    left, right = (column_index_from_string(match[i].decode()) for i in (1, 3))
                    holder = f"{match[1].decode()}{int(match[2])}"
                    cells = ((r, c) for r in range(int(match[2]), int(match[4]) + 1) for c in range(left, right + 1))
                    merged |= {cell: holder for cell in cells if cell != (int(match[2]), left)}
                rest = text[-_OVERLAP:]
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise no_table(path, f"the workbook is damaged: {error}", remedy="save it as .xlsx again") from error
    return merged, has_formulas
