"""Whatever bytes a file holds, a data adapter gives samples, bad rows or an error with file and line; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import Check, DataAdapter, MetierError
from metier.testing.fuzz import MARKS, any_bytes, read_anyhow
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.tasks import TASKS

TELLING = (
    *MARKS,
    b"/*",
    b"*/",
    b"[[",
    b"]]",
    b"\n",
    b"INT. ",
    b"\nINT. - \n",
    b"^",
    b"@",
    b"=",
    b"#",
    b"  \n",
    b"\x0c",
    b" / ",
    b"<Text>",
)
"""Bytes that mean something to these formats."""


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_end_in_rows_or_in_an_error_that_names_the_place(adapter: DataAdapter, data: st.DataObject) -> None:
    content = data.draw(any_bytes(adapter.example.read_bytes(), TELLING))
    read_anyhow(adapter, TASKS, content, adapter.example.suffix)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@pytest.mark.parametrize("suffix", [".fountain", ".fdx", ".txt", ".csv", ".xlsx", ""])
def test_an_example_under_another_suffix_ends_in_the_same_two_ways(adapter: DataAdapter, suffix: str) -> None:
    for other in ADAPTERS:
        read_anyhow(adapter, TASKS, other.example.read_bytes(), suffix)


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
        content = b"INT. A - DAY\n\n" + (hostile * (250_000 // len(hostile))).encode()
        read_anyhow(adapter, TASKS, content, adapter.example.suffix)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200))
def test_a_check_has_an_answer_for_any_text(check: Check, text: str) -> None:
    given_, answer = check.passing
    field = "text"
    for finding in check.run(given_, {**answer, field: text}):
        assert finding.message and finding.rule
