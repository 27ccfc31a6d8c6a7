"""Checks read any facts that the notation can hold, cite a rule, and refuse facts in another notation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Check, ContractError
from metier_adcopy.checks import CHECKS
from metier_adcopy.facts import write_facts


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(max_examples=50, deadline=None)
@given(text=st.text(), value=st.text(), key=st.text())
def test_a_check_answers_any_text_and_any_fact_and_cites_a_rule(check: Check, text: str, value: str, key: str) -> None:
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
