"""Whatever bytes a file holds, a data adapter gives samples, bad rows or an error with file and line; and a check has
an answer for any text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.contracts import Check, DataAdapter, MetierError
from metier.testing.fuzz import any_bytes, read_anyhow
from metier_support.checks import CHECKS
from metier_support.figures import figures
from metier_support.promises import promises
from metier_support.reading import ADAPTERS
from metier_support.tasks import TASKS


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_end_in_rows_or_in_an_error_that_names_the_place(adapter: DataAdapter, data: st.DataObject) -> None:
    content = data.draw(any_bytes(adapter.example.read_bytes()))
    read_anyhow(adapter, TASKS, content, adapter.example.suffix)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl", ".json", ".parquet", ".txt", ""])
def test_an_example_under_another_suffix_ends_in_the_same_two_ways(adapter: DataAdapter, suffix: str) -> None:
    read_anyhow(adapter, TASKS, adapter.example.read_bytes(), suffix)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_a_missing_file_is_an_error_of_metiers(adapter: DataAdapter, tmp_path: Path) -> None:
    assert adapter.accepts(tmp_path / f"gone{adapter.example.suffix}") is False
    with pytest.raises(MetierError):
        list(adapter.read(tmp_path / f"gone{adapter.example.suffix}"))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_each_example_is_claimed_by_its_own_adapter_first(adapter: DataAdapter) -> None:
    assert next(a for a in ADAPTERS if a.accepts(adapter.example)) is adapter


def changed(value: Any, text: str) -> Any:
    """A value with every string in it replaced."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {k: changed(v, text) if k not in {"who", "sentiment", "label"} else v for k, v in value.items()}
    return [changed(v, text) for v in value] if isinstance(value, list) else value


PIECES = st.text(alphabet=st.sampled_from(list("£$3 5.,-:/{}[]%\"'天元月折不 dayhumnfrePO")), max_size=60)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(deadline=None)
@given(asked=st.one_of(st.text(), PIECES), said=st.one_of(st.text(), PIECES))
def test_a_check_has_an_answer_for_any_text(check: Check, asked: str, said: str) -> None:
    input, output = check.passing
    for finding in check.run(changed(input, asked), changed(output, said)):
        assert finding.message and finding.rule


@settings(deadline=None)
@given(text=st.one_of(st.text(), PIECES))
def test_what_a_text_says_is_backed_by_the_same_text(text: str) -> None:
    from metier_support.checks.grounded import run

    case = {"dialogue": [{"who": "customer", "text": "?"}], "passages": [{"id": "P1", "text": text}]}
    assert not [f for f in run(case, {"reply": text}) if "promises" not in f.message]


@pytest.mark.timeout(300)  # a pattern that goes back over a text of this length does not end
@pytest.mark.parametrize("piece", ["£", "1", "1,", "{{", "a-", "一", "free "])
def test_a_long_odd_text_is_read_with_work_in_proportion_to_its_length(piece: str) -> None:
    def calls(length: int) -> int:
        text, count = piece * (length // len(piece)), 0

        def called(frame: object, event: str, _: object) -> None:
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(called)
        try:
            figures(text)
            promises(text)
            for check in CHECKS:
                input, output = check.passing
                check.run(changed(input, text[: length // 10]), changed(output, text[: length // 10]))
        finally:
            sys.setprofile(None)
        return count

    calls(100)  # what is made once, such as patterns
    assert calls(100_000) <= 2.1 * calls(50_000) + 1000
