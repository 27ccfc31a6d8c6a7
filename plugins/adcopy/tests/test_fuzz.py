"""Whatever bytes a file holds, a data adapter gives samples, bad rows or an error with file and line; nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import BadRow, Check, ContractError, DataAdapter, MetierError, Sample
from metier_adcopy.checks import CHECKS
from metier_adcopy.facts import write_facts
from metier_adcopy.reading import ADAPTERS
from metier_adcopy.vertical import vertical


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
            st.sampled_from([b'"', b"\t", b"<", b"&", b"\0", b"]]>", b"<![CDATA[", b"\xff\xfe", b"\r", b"[", b","]),
        )
    )
    return whole[:start] + noise + whole[start if draw(st.booleans()) else stop :]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_end_in_rows_or_in_an_error_that_names_the_place(adapter: DataAdapter, data: st.DataObject) -> None:
    whole = adapter.example.read_bytes()
    content = data.draw(
        st.one_of(
            st.binary(max_size=400),
            damaged(whole),
            st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
        )
    )
    outcome(adapter, adapter.example.suffix, content)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl", ".parquet", ".xml", ".txt", ""])
def test_an_example_under_another_suffix_ends_in_the_same_two_ways(adapter: DataAdapter, suffix: str) -> None:
    outcome(adapter, suffix, adapter.example.read_bytes())


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_a_missing_file_is_an_error_of_metiers(adapter: DataAdapter, tmp_path: Path) -> None:
    assert adapter.accepts(tmp_path / "gone.csv") is False
    with pytest.raises(MetierError):
        list(adapter.read(tmp_path / f"gone{adapter.example.suffix}"))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_each_example_is_claimed_by_its_own_adapter_first(adapter: DataAdapter) -> None:
    assert next(a for a in ADAPTERS if a.accepts(adapter.example)) is adapter


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(max_examples=50, deadline=None)
@given(text=st.text(), value=st.text(), key=st.text())
def test_a_check_has_an_answer_for_any_text_and_any_fact(check: Check, text: str, value: str, key: str) -> None:
    facts = write_facts([("name", "Fern"), (f"k{key}", value)])
    line = {"say": text, "stress": [value], "gesture": "show", "seconds": 2}
    output = {"text": text, "headlines": [text, value], "descriptions": [text, key], "lines": [line]}
    for finding in check.run({"facts": facts, "page": facts, "max_chars": 20, "seconds": 9}, output):
        assert finding.message and finding.rule


READS_FACTS = {"facts_stated", "facts_invented", "advertising_law", "ftc"}


@pytest.mark.parametrize("check", [c for c in CHECKS if c.name in READS_FACTS], ids=lambda check: check.name)
def test_a_check_refuses_a_brief_whose_facts_cannot_be_read(check: Check) -> None:
    with pytest.raises(ContractError):
        check.run({"facts": "no brackets"}, {"text": "A mug."})
