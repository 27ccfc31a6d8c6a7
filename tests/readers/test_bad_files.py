"""Each way in which a data file goes wrong ends in an error that names the file, the row and the field."""

import gzip
import re
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metier.contracts import BadRow, DataError, Sample, UsageError
from metier.data.load import every_row, load_samples

GOOD = "facts,text\na blue mug,A mug in blue.\n"


def text(name: str, content: str | bytes):
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def book(rows, *, merge: str | None = None, name: str = "t.xlsx"):
    def write(folder: Path) -> Path:
        workbook = openpyxl.Workbook()
        for row in rows:
            workbook.active.append(row)
        if merge:
            workbook.active.merge_cells(merge)
        workbook.save(folder / name)
        return folder / name

    return write


def error_cell(folder: Path) -> Path:
    workbook = openpyxl.Workbook()
    workbook.active.append(["facts", "text"])
    workbook.active.append(["a", "b"])
    workbook.active.append(["a", "#REF!"])
    workbook.active["B3"].data_type = "e"
    workbook.save(folder / "t.xlsx")
    return folder / "t.xlsx"


def truncated_gzip(folder: Path) -> Path:
    path = folder / "t.csv.gz"
    path.write_bytes(gzip.compress((GOOD * 2000).encode())[:-40])
    return path


def broken_parquet(folder: Path) -> Path:
    path = folder / "t.parquet"
    pq.write_table(pa.table({"facts": ["a"] * 999, "text": ["b"] * 999}), path)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def damaged_workbook(folder: Path) -> Path:
    path = book([["facts", "text"], ["a", "b"]])(folder)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def plain_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "t.xlsx", "w") as archive:
        archive.writestr("hello.txt", "hi")
    return folder / "t.xlsx"


def folder_instead(folder: Path) -> Path:
    (folder / "t.csv").mkdir()
    return folder / "t.csv"


FILES = {
    "missing file": (lambda f: f / "none.csv", "none.csv: there is no such file"),
    "folder instead of file": (folder_instead, "t.csv: this is a folder"),
    "empty file": (text("t.csv", ""), "t.csv: the file is empty"),
    "empty JSONL": (text("t.jsonl", "\n\n"), "t.jsonl: the file is empty"),
    "header only": (text("t.csv", "facts,text\n"), "t.csv:1: there is a header, but no rows"),
    "workbook with a header only": (book([["facts", "text"]]), "header, but no rows in sheet Sheet"),
    "missing column": (text("t.csv", "facts,body\na,b\n"), "t.csv:1: no column for output text; the columns are"),
    "duplicate header": (text("t.csv", "facts,text,text\na,b,c\n"), "t.csv:1: the header names text twice"),
    "nameless column": (text("t.csv", "facts,,text\na,b,c\n"), "t.csv:1: column 2 of the header has no name"),
    "Latin-1": (
        text("t.csv", (GOOD + "caf\xe9 cr\xe8me,d\xe9j\xe0 vu na\xefve\n" * 9).encode("latin-1")),
        "t.csv:3: byte 0xe9 is not UTF-8, and the file is not GB18030 either",
    ),
    "truncated gzip": (truncated_gzip, "the gzip file is damaged"),
    "JSON array": (text("t.jsonl", '[{"facts": "a"}]'), "t.jsonl:1: this is one JSON array"),
    "pretty-printed JSON": (text("t.json", '{\n "facts": "a"\n}'), "t.json:1: this is JSON over several lines"),
    "corrupted Parquet": (broken_parquet, "t.parquet: this Parquet file is damaged"),
    "text named Parquet": (text("t.parquet", GOOD), "named as Parquet but is not"),
    "old .xls renamed to .xlsx": (
        text("t.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600),
        "this is an old Excel file",
    ),
    "text named .xlsx": (text("t.xlsx", GOOD), "named as an Excel workbook but is not one"),
    "truncated workbook": (damaged_workbook, "not an Excel workbook that can be read"),
    "zip named .xlsx": (plain_zip, "not an Excel workbook that can be read"),
    "unknown suffix": (text("t.docx.bak", GOOD), "files ending in .bak are not known"),
    "PDF named .csv": (text("t.csv", b"%PDF-1.7 ..."), "this is not a table"),
}


@pytest.mark.parametrize(("make", "message"), FILES.values(), ids=FILES)
def test_the_error_for_an_unreadable_file_gives_the_reason(tmp_path, task, make, message):
    path = make(tmp_path)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        list(load_samples(task, path))
    assert str(path) in str(caught.value)


ROWS = {
    "unclosed quote": (text("t.csv", GOOD + 'a,"b\nc,d\ne,f\n'), 3, None, "a quote is not closed", 3),
    "quote closed by the next row's": (
        text("t.csv", GOOD + 'a,"b\n"c","d"\ne,f\n'), 3, None, "a quote is not closed", 3
    ),
    "quote inside a cell": (
        text("t.csv", GOOD + 'a,"12" tall"\nc,d\n'), 3, None, "a quote inside a quoted cell is not doubled", 2
    ),
    "extra cell": (text("t.csv", GOOD + "a,b,c\nd,e\n"), 3, None, "there are 3 cells where the header has 2", 2),
    "missing cell": (text("t.csv", GOOD + "a\nd,e\n"), 3, None, "there are 1 cells where the header has 2", 2),
    "other delimiter": (text("t.csv", GOOD + "a;b\nd,e\n"), 3, None, "it seems to be delimited by ';'", 2),
    "NUL byte": (text("t.csv", GOOD + "a\0,b\nd,e\n"), 3, None, "there is a NUL byte", 2),
    "stray byte": (
        text("t.csv", (GOOD + "瓷杯,一只蓝色的瓷杯\n").encode() + b"a\xe9,b\nd,e\n"),
        4, None, "byte 0xe9 is not valid utf-8", 3,
    ),
    "cell too long for the reader": (
        text("t.csv", GOOD + f'"{"x" * 140_000}",b\nd,e\n'), 3, None, "a cell is longer than 131072 characters", 2
    ),
    "value too long for the contract": (
        text("t.csv", GOOD + f"{'x' * 2001},b\nd,e\n"), 3, "input.facts", "is too long", 2
    ),
    "row after a multi-line cell": (
        text("t.csv", 'facts,text\n"a\nb\nc",d\nx\n'), 5, None, "there are 1 cells", 1
    ),
    "empty required cell": (text("t.csv", GOOD + "a,\nd,e\n"), 3, "text", "the cell is empty", 2),
    "not a number": (
        text("t.csv", "facts,text,price\na,b,1.5\na,b,cheap\n"), 3, "price", "'cheap' is not a number", 1
    ),
    "not a whole number": (
        text("t.tsv", "facts\ttext\tstock\na\tb\t2.0\na\tb\t2.5\n"), 3, "stock", "'2.5' is not a whole number", 1
    ),
    "not a boolean": (text("t.csv", "facts,text,new\na,b,yes\na,b,maybe\n"), 3, "new", "neither yes nor no", 1),
    "not in the enumeration": (
        text("t.csv", "facts,text,tone\na,b,Warm\na,b,angry\n"), 3, "tone", "'angry' is not one of warm, plain", 1
    ),
    "not a list": (text("t.csv", 'facts,text,tags\na,b,"[""x""]"\na,b,x;y\n'), 3, "tags", "is not a JSON list", 1),
    "broken JSONL line": (
        text("t.jsonl", '{"facts": "a", "text": "b"}\n{"facts": \n{"facts": "a", "text": "b"}\n'),
        2, None, "this is not JSON", 2,
    ),
    "JSONL line that is no object": (
        text("t.jsonl", '{"facts": "a", "text": "b"}\n["a"]\n'), 2, None, "this is an array", 1
    ),
    "NaN in JSONL": (
        text("t.jsonl", '{"facts": "a", "text": "b"}\n{"facts": "a", "text": "b", "price": NaN}\n'),
        2, None, "JSON has no NaN", 1,
    ),
    "wrong type in JSONL": (
        text("t.jsonl", '{"facts": "a", "text": "b"}\n{"facts": ["a"], "text": "b"}\n'),
        2, "input.facts", "is not of type 'string'", 1,
    ),
    "JSONL line without a field": (
        text("t.jsonl", '{"facts": "a", "text": "b"}\n{"facts": "a"}\n{"facts": "a", "text": "b"}\n'),
        2, None, "no column for output text", 2,
    ),
    "merged cells": (
        book([["facts", "text"], ["a", "b"], ["c", "d"], [None, "e"]], merge="A3:A4"),
        4, "facts", "the cell is merged with A3", 2,
    ),
    "formula error": (error_cell, 3, "text", "the cell holds the error #REF!", 1),
    "formula without a value": (
        book([["facts", "text"], ["a", "b"], ["a", "=A1&A2"]]), 3, "text", "the formula has no computed value", 1
    ),
    "cell beyond the header": (
        book([["facts", "text"], ["a", "b"], ["a", "b", "c"]]), 3, "text", "cells beyond the header's 2 columns", 1
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "line", "field", "reason", "good"), ROWS.values(), ids=ROWS)
def test_a_bad_row_is_named_by_line_and_field_and_costs_no_other_row(tmp_path, task, make, line, field, reason, good):
    path = make(tmp_path)
    items = list(every_row(task, path))
    (row,) = [item for item in items if isinstance(item, BadRow)]
    assert (row.provenance.source, row.provenance.line, row.field) == (str(path), line, field)
    assert reason in row.reason
    assert sum(isinstance(item, Sample) for item in items) == good
    place = f"{path}[Sheet]:{line}" if path.suffix == ".xlsx" else f"{path}:{line}"
    with pytest.raises(DataError, match=re.escape(place)):
        list(load_samples(task, path))


def test_skipped_rows_are_returned_or_warned_about_but_never_lost(tmp_path, task):
    path = text("t.csv", GOOD + "a\nb\nc,d\n")(tmp_path)
    bad: list[BadRow] = []
    assert len(list(load_samples(task, path, on_bad="skip", bad=bad))) == 2
    assert [row.provenance.line for row in bad] == [3, 4]
    with pytest.warns(UserWarning, match="2 bad rows skipped"):
        list(load_samples(task, path, on_bad="skip"))


def test_a_file_of_bad_rows_only_is_an_error_even_when_they_are_skipped(tmp_path, task):
    path = text("t.csv", "facts,text\na\nb\n")(tmp_path)
    with pytest.raises(DataError, match="all 2 are bad"):
        list(load_samples(task, path, on_bad="skip", bad=[]))


def test_an_unknown_column_or_field_gets_the_nearest_name(tmp_path, task):
    path = text("t.csv", "mr,ref\na,b\n")(tmp_path)
    assert next(load_samples(task, path, columns={"mr": "facts", "ref": "text"})).output == {"text": "b"}
    with pytest.raises(DataError, match="there is no column rf, did you mean ref"):
        list(load_samples(task, path, columns={"mr": "facts", "rf": "text"}))
    with pytest.raises(UsageError, match="no field fact, did you mean facts"):
        list(load_samples(task, path, columns={"mr": "fact", "ref": "text"}))
