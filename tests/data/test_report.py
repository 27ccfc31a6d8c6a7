"""The data report counts what is there, and its memory does not grow with the file."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.contracts import DataError, Provenance, Sample, Vertical
from metier.data import TableAdapter
from metier.data.load import tasks_reading
from metier.data.report import DataReport, data_report
from metier.data.streaming_stats import Doubles, quantile

CSV = (
    "facts,text,note\n"
    "a blue mug,A mug in blue. Call 13812345678.,\n"
    "一只瓷杯,一只蓝色的瓷杯。,x\n"
    "a blue mug,A mug in blue. Call 13812345678.,\n"
    "short\n"
)


def test_the_report_counts_rows_columns_doubles_languages_and_personal_data(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV, "utf-8")
    found = data_report(None, path)
    assert (found.rows, found.good_rows, found.bad_rows, found.duplicates) == (4, 3, 1, 1)
    assert (found.format, found.encoding, found.size) == ("delimited", "utf-8", path.stat().st_size)
    assert found.bad_fields == {} and found.bad[0].provenance.line == 5
    facts, text, note = found.columns
    assert (facts.filled, note.filled, note.empty) == (3, 1, 2)
    assert text.languages == {"latin": 0.6667, "zh": 0.3333}
    assert (facts.lengths.shortest, facts.lengths.median, facts.lengths.longest) == (4, 10, 10)
    assert found.personal_data == {"phone": 2}
    assert found.personal_data_at[0] == f"{path}:2 text phone"
    assert "13812345678" not in found.model_dump_json()
    assert DataReport.model_validate_json(found.model_dump_json()) == found


def test_with_a_task_the_rows_are_checked_as_its_samples(tmp_path, task):
    path = tmp_path / "t.csv"
    path.write_text("facts,text,price\na,b,1\na,b,cheap\n")
    found = data_report(task, path)
    assert [column.name for column in found.columns] == ["input.facts", "input.price", "output.text"]
    assert (found.good_rows, found.bad_rows, found.task) == (1, 1, task.name)


def test_the_report_names_the_data_adapter_that_read_the_file(tmp_path, task):
    path = tmp_path / "t.csv"
    path.write_text("Product facts,Body\na,b\n")
    feed = TableAdapter("feed", task, columns={"Product facts": "facts", "Body": "text"}, example=path)
    assert data_report(task, path, adapters=[feed]).data_adapter == "feed"
    assert data_report(task, path, adapters=[feed], columns={"Body": "text"}).data_adapter is None
    (tmp_path / "u.csv").write_text("facts,text\na,b\n")
    assert data_report(task, tmp_path / "u.csv").data_adapter is None


def test_a_file_of_a_trade_s_own_format_is_read_by_the_trade_s_adapters(tmp_path, task):
    class Notes:
        name, task, example = "notes", "shop.describe", tmp_path / "t.note"

        def accepts(self, path):
            return path.suffix == ".note"

        def read(self, path):
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                place = Provenance(source=str(path), line=number)
                yield Sample(task=self.task, input={"facts": line}, output={"text": line}, provenance=place)

    Notes.task = task.name
    vertical = Vertical(name=task.vertical, tasks=(task,), data_adapters=(Notes(),))
    Notes.example.write_text("a mug\na bowl\n")
    assert tasks_reading(Notes.example, [vertical]) == [task]
    found = data_report(task, Notes.example, adapters=vertical.adapters_for(task))
    assert (found.format, found.data_adapter, found.good_rows) == ("note", "notes", 2)
    (tmp_path / "t.csv").write_text("facts,text\na,b\n")
    assert tasks_reading(tmp_path / "t.csv", [vertical]) == [], "a table stays a table"
    (tmp_path / "t.odd").write_text("x")
    assert tasks_reading(tmp_path / "t.odd", [vertical]) == []
    with pytest.raises(DataError, match="no such file"):
        tasks_reading(tmp_path / "none.note", [vertical])


def test_near_duplicates_are_counted_apart_from_exact_ones(tmp_path):
    line = "a hand-made blue mug that holds three hundred millilitres and keeps its tea warm"
    path = tmp_path / "t.csv"
    path.write_text(f"facts\n{line}\n{line}\n{line}!\nsomething else entirely\n")
    found = data_report(None, path)
    assert (found.duplicates, found.near_duplicates, found.near_duplicates_among) == (1, 1, 4)


def test_a_file_that_is_no_table_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        data_report(None, tmp_path / "none.csv")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_never_has_a_smaller_quantile(values, share, other):
    low, high = sorted((share, other))
    assert quantile(sorted(values), low) <= quantile(sorted(values), high)


def test_p95_of_two_rows_is_not_below_their_median(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("facts\na\nabcdefgh\n")
    (column,) = data_report(None, path).columns
    assert (column.lengths.median, column.lengths.p95) == (1, 8)


def test_doubles_beyond_the_bound_are_estimated_within_a_tenth():
    doubles = Doubles(bound=2_000)
    for i in range(100_000):
        doubles.add(str(i % 60_000))
    assert doubles.estimated
    assert abs(doubles.count - 40_000) < 4_000


MILLION = """
import json, resource, sys
from metier.data import TableAdapter
from metier.data.report import data_report
from metier.readers.tables import read_rows
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
found = data_report(None, sys.argv[1])
print(json.dumps([found.rows, found.duplicates, peak() - before]))
"""


@pytest.mark.slow
def test_a_million_rows_are_reported_in_constant_memory(tmp_path):
    path = tmp_path / "big.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("sku,facts,text\n")
        for i in range(1_000_000):
            n = i % 900_000
            file.write(f'{n},"a blue mug, number {n}",一只蓝色的瓷杯 {n} for the morning and for the evening\n')
    done = subprocess.run([sys.executable, "-c", MILLION, str(path)], capture_output=True, text=True, check=True)
    rows, duplicates, megabytes = json.loads(done.stdout)
    assert rows == 1_000_000
    assert abs(duplicates - 100_000) < 5_000
    assert megabytes < 200, f"grew by {megabytes:.0f} MB on a file of {path.stat().st_size / 1e6:.0f} MB"


def test_a_row_takes_the_same_work_however_many_were_before_it(tmp_path, monkeypatch):
    """Counted in calls of functions, which no busy machine changes; but for the comparison of 2,000 at most."""
    monkeypatch.setattr("metier.data.report.near_pairs", lambda *_: ())

    def calls(rows):
        path, count = tmp_path / f"{rows}.csv", 0
        line = "sku {n},a blue mug number {n},一只蓝色的瓷杯 {n} for the morning\n"
        path.write_text("sku,facts,text\n" + "".join(line.format(n=n) for n in range(rows)), "utf-8")

        def called(frame, event, _):
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(called)
        try:
            assert data_report(None, path).rows == rows
        finally:
            sys.setprofile(None)
        return count

    some, more, most = (calls(rows) for rows in (2_000, 3_000, 5_000))
    assert most - more == pytest.approx(2 * (more - some), rel=0.05)
