"""The same rows come out of every format, with their own lines, and one at a time."""

import csv
import gzip
import json
from collections.abc import Callable

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import DataAdapter, DataError, Provenance, Sample, UsageError
from metier.data.adapter import TableAdapter
from metier.data.load import load_samples
from metier.data.samples_file import read_samples, write_samples
from metier.readers.tables import Row, read_rows

ROWS = [("a blue mug, 300 ml", "A mug\nin blue."), ("一只蓝色的瓷杯", "瓷杯“蓝色”,300 毫升")]


def delimited(path, encoding: str, delimiter: str) -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow(["Facts", "TEXT "])
        out.writerows(ROWS)


def json_lines(path) -> None:
    path.write_text("\n".join(json.dumps({"facts": f, "text": t}) for f, t in ROWS), "utf-8")


def workbook(path) -> None:
    book = openpyxl.Workbook()
    for row in [("facts", "text"), *ROWS]:
        book.active.append(row)
    book.save(path)


def parquet(path) -> None:
    pq.write_table(pa.table({"facts": [r[0] for r in ROWS], "text": [r[1] for r in ROWS]}), path)


def zipped(path) -> None:
    delimited(path.with_suffix(""), "utf-8", ",")
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


FORMATS: dict[str, tuple[str, Callable]] = {
    **{
        f"CSV {encoding}": ("t.csv", lambda p, e=encoding: delimited(p, e, ","))
        for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be")
    },
    "semicolons": ("t.csv", lambda p: delimited(p, "utf-8", ";")),
    "TSV": ("t.tsv", lambda p: delimited(p, "utf-8", "\t")),
    "JSONL": ("t.jsonl", json_lines),
    "Excel": ("t.xlsx", workbook),
    "Parquet": ("t.parquet", parquet),
    "gzipped CSV": ("t.csv.gz", zipped),
    "CSV by another name": ("t.txt", lambda p: delimited(p, "utf-8", ",")),
}


@pytest.mark.parametrize(("name", "write"), FORMATS.values(), ids=FORMATS)
def test_every_format_and_encoding_gives_the_same_samples(tmp_path, task, name, write):
    write(tmp_path / name)
    samples = list(load_samples(task, tmp_path / name))
    assert [(s.input["facts"], s.output["text"]) for s in samples] == ROWS
    lines = [s.provenance.line for s in samples]
    # A record of JSONL or Parquet; the row below a header elsewhere, two lines further where a cell holds a line break.
    assert lines == ([1, 2] if name in {"t.jsonl", "t.parquet"} else [2, 3] if name == "t.xlsx" else [2, 4])


def test_cells_become_what_the_contract_wants(tmp_path, task):
    (tmp_path / "t.csv").write_text(
        'facts,text,price,stock,new,tone,tags\na,b,9.50,3,Yes,WARM,"[""x"", ""y""]"\na,b,,,,,\n', "utf-8"
    )
    full, bare = load_samples(task, tmp_path / "t.csv")
    assert full.input == {"facts": "a", "price": 9.5, "stock": 3, "new": True, "tone": "warm", "tags": ["x", "y"]}
    assert bare.input == {"facts": "a"}


def test_a_spreadsheets_numbers_are_text_where_text_is_wanted(tmp_path, task):
    book = openpyxl.Workbook()
    for row in [("facts", "text", "stock"), (300.0, 2.5, 3.0)]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    (sample,) = load_samples(task, tmp_path / "t.xlsx")
    assert sample.input == {"facts": "300", "stock": 3} and sample.output == {"text": "2.5"}


def test_a_sheet_is_chosen_by_name_and_a_wrong_name_lists_them(tmp_path):
    book = openpyxl.Workbook()
    book.create_sheet("Spring").append(["facts"])
    book["Spring"].append(["a"])
    book.save(tmp_path / "t.xlsx")
    (row,) = read_rows(tmp_path / "t.xlsx", sheet="Spring")
    assert str(row.provenance).endswith("t.xlsx[Spring]:2")
    with pytest.raises(DataError, match="no sheet Sprnig, did you mean Spring"):
        next(read_rows(tmp_path / "t.xlsx", sheet="Sprnig"))


def test_nothing_is_opened_before_the_first_row_is_requested(tmp_path):
    rows = read_rows(tmp_path / "not there yet.csv")
    (tmp_path / "not there yet.csv").write_text("a\n1\n")
    assert next(rows).values == {"a": "1"}


def test_a_table_adapter_is_a_data_adapter_and_reads_its_own_columns(tmp_path, task):
    path = tmp_path / "t.csv"
    path.write_text("Product Facts,Body\na,b\n")
    adapter = TableAdapter("feed", task, columns={"product_facts": "facts", "body": "text"}, example=path)
    assert isinstance(adapter, DataAdapter) and adapter.task == task.name
    assert adapter.accepts(path)
    (tmp_path / "u.csv").write_text("mr,ref\na,b\n")
    assert not adapter.accepts(tmp_path / "u.csv") and not adapter.accepts(tmp_path / "none.csv")
    (sample,) = load_samples(task, path, adapters=[adapter])
    assert sample.output == {"text": "b"}


def test_the_trades_headers_count_where_a_column_is_missing_or_mapped_by_hand(tmp_path, task):
    adapter = TableAdapter("feed", task, columns={"Product facts": "facts", "Body": "output.text"}, example=tmp_path)
    (tmp_path / "t.csv").write_text("Product facts,Our copy\na,b\n")
    with pytest.raises(DataError, match=r"no column for output text; (?s:.*)name it Body, or .* 'Our copy=text'"):
        list(load_samples(task, tmp_path / "t.csv", adapters=[adapter]))
    (sample,) = load_samples(task, tmp_path / "t.csv", adapters=[adapter], columns={"Our copy": "text"})
    assert sample.input == {"facts": "a"} and sample.output == {"text": "b"}
    (tmp_path / "u.csv").write_text("Product facts\na\n")
    with pytest.raises(DataError, match="add the column Body"):
        list(load_samples(task, tmp_path / "u.csv", adapters=[adapter]))


def test_the_remedy_for_missing_columns_names_them_all(tmp_path, task):
    (tmp_path / "t.csv").write_text("Product,Blurb\na,b\n")
    with pytest.raises(DataError) as caught:
        list(load_samples(task, tmp_path / "t.csv"))
    assert caught.value.remedy.startswith("name them facts, text, or map them: --columns ")
    assert "Product=facts,Blurb=text" in caught.value.remedy
    (tmp_path / "u.csv").write_text("Product\na\n")
    with pytest.raises(DataError, match="add the columns facts, text"):
        list(load_samples(task, tmp_path / "u.csv"))


def test_a_table_adapter_for_an_unknown_field_is_refused(tmp_path, task):
    with pytest.raises(UsageError, match="no field txt, did you mean text"):
        TableAdapter("feed", task, columns={"Body": "txt"}, example=tmp_path)


def test_an_adapter_may_build_a_field_from_several_columns(tmp_path, task):
    path = tmp_path / "t.csv"
    path.write_text("name,colour,body\nmug,blue,A mug.\nmug,,A mug.\n")

    def build(row):
        if not row["colour"]:
            raise ValueError("colour is empty")
        return {"facts": f"{row['colour']} {row['name']}"}, {"text": row["body"]}

    adapter = TableAdapter("parts", task, columns={"name": "facts", "colour": "facts"}, example=path, build=build)
    good, bad = adapter.read(path)
    assert good.input == {"facts": "blue mug"}
    assert str(bad).endswith("t.csv:3: colour is empty")


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@TMP
@given(rows=st.lists(st.tuples(CELL, CELL).filter(any), min_size=1, max_size=8))
def test_csv_written_is_csv_read_cell_for_cell_at_the_right_lines(tmp_path, rows):
    path = tmp_path / "t.csv"
    lines = [2]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, quoting=csv.QUOTE_ALL)
        out.writerow(["a", "b"])
        for row in rows:
            out.writerow(row)
    for row in rows:
        text = "|".join(row).replace("\r\n", "\n").replace("\r", "\n")
        lines.append(lines[-1] + 1 + text.count("\n"))
    found = list(read_rows(path, encoding="utf-8"))
    assert all(isinstance(row, Row) for row in found)
    assert [tuple(row.values.values()) for row in found] == rows
    assert [row.provenance.line for row in found] == lines[:-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=8,
)
VALUE = st.dictionaries(CELL, JSON, max_size=3)


@TMP
@given(pairs=st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=4))
def test_samples_written_are_samples_read(tmp_path, pairs):
    place = Provenance(source="t.csv", line=2, licence="CC0-1.0")
    samples = [Sample(task="demo.x", input=i, output=o, provenance=place, language="zh") for i, o in pairs]
    assert write_samples(tmp_path / "s.jsonl", samples) == len(samples)
    assert list(read_samples(tmp_path / "s.jsonl")) == samples


def test_short_rows_take_the_task_and_their_own_line(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"input": {"a": 1}, "output": {"b": 2}}\n{"input": 3}\n')
    rows = read_samples(tmp_path / "s.jsonl", task="demo.x", licence="MIT")
    first = next(rows)
    assert (first.task, str(first.provenance), first.provenance.licence) == ("demo.x", "s.jsonl:1", "MIT")
    with pytest.raises(DataError, match=r"s.jsonl:2: input"):
        next(rows)
