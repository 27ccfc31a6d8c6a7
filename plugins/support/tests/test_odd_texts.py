"""Texts of prices, dates and brackets, and long odd ones: checks answer them in bounded time and cite a rule."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Check
from metier_support.checks import CHECKS
from metier_support.figures import figures
from metier_support.promises import promises


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
@given(input_text=st.one_of(st.text(), PIECES), output_text=st.one_of(st.text(), PIECES))
def test_a_check_answers_any_text_and_cites_a_rule(check: Check, input_text: str, output_text: str) -> None:
    input, output = check.passing
    for finding in check.run(changed(input, input_text), changed(output, output_text)):
        assert finding.message and finding.rule


@settings(deadline=None)
@given(text=st.one_of(st.text(), PIECES))
def test_a_text_is_grounded_in_itself(text: str) -> None:
    from metier_support.checks.grounded import run

    case = {"dialogue": [{"who": "customer", "text": "?"}], "passages": [{"id": "P1", "text": text}]}
    assert not [f for f in run(case, {"reply": text}) if "promises" not in f.message]


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
