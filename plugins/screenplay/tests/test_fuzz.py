"""Whatever bytes a file holds, a data adapter gives samples, bad rows or an error with file and line; nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import BadRow, Check, DataAdapter, MetierError, Sample
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.vertical import vertical


def outcome(adapter: DataAdapter, suffix: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        assert isinstance(adapter.accepts(path), bool)
        try:
            rows = list(adapter.read(path))
        except MetierError as error:
            assert str(path) in str(error.where), error
            return
        for row in rows:
            assert isinstance(row, Sample | BadRow)
            assert row.provenance and row.provenance.line and path.name in row.provenance.source
            if isinstance(row, Sample):
                vertical().task(adapter.task).check_sample(row)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good file with a piece cut out, repeated, or replaced by noise."""
    start = draw(st.integers(0, len(whole)))
    stop = draw(st.integers(start, min(len(whole), start + 80)))
    noise = draw(
        st.one_of(
            st.binary(max_size=24),
            st.sampled_from(
                [b"/*", b"*/", b"[[", b"]]", b"\n", b"\n\n", b"INT. ", b"\nINT. - \n", b"<", b"&", b"\0", b"\xff\xfe",
                 b"\r", b"^", b"@", b"=", b"#", b"  \n", b"\x0c", b'"', b" / ", b",", b"<Text>"]
            ),
        )
    )  # fmt: skip
    return whole[:start] + noise + whole[start if draw(st.booleans()) else stop :]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_end_in_rows_or_in_an_error_that_names_the_place(adapter: DataAdapter, data: st.DataObject) -> None:
    content = data.draw(
        st.one_of(
            st.binary(max_size=400),
            damaged(adapter.example.read_bytes()),
            st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
        )
    )
    outcome(adapter, adapter.example.suffix, content)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@pytest.mark.parametrize("suffix", [".fountain", ".fdx", ".txt", ".csv", ".xlsx", ""])
def test_an_example_under_another_suffix_ends_in_the_same_two_ways(adapter: DataAdapter, suffix: str) -> None:
    for other in ADAPTERS:
        outcome(adapter, suffix, other.example.read_bytes())


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_a_missing_file_is_an_error_of_metiers(adapter: DataAdapter, tmp_path: Path) -> None:
    path = tmp_path / f"gone{adapter.example.suffix}"
    assert adapter.accepts(path) is False
    with pytest.raises(MetierError):
        list(adapter.read(path))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_each_example_is_claimed_by_its_own_adapter_first(adapter: DataAdapter) -> None:
    assert next(a for a in ADAPTERS if a.accepts(adapter.example)) is adapter


# Lines just short enough to be parsed.
LONG = [
    f"{start}{run * (19_900 // len(run))}x\n\n"
    for start in ("INT. A", "JOE", "")
    for run in (" ", "!", "(", "_a ", "#")
]


@pytest.mark.parametrize(
    "hostile", ["[[\n", "/*\n", "[[", "A((", "*a", "_a ", "(\n", "JOE\n", "Title: x\n", "INT. ", *LONG]
)
def test_hostile_repetition_ends_in_bounded_time(hostile: str, tmp_path: Path) -> None:
    """A quarter of a megabyte; pytest's own time limit would end it."""
    for adapter in ADAPTERS[1:3]:
        outcome(adapter, adapter.example.suffix, b"INT. A - DAY\n\n" + (hostile * (250_000 // len(hostile))).encode())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200))
def test_a_check_has_an_answer_for_any_text(check: Check, text: str) -> None:
    given_, answer = check.passing
    field = "text"
    for finding in check.run(given_, {**answer, field: text}):
        assert finding.message and finding.rule
