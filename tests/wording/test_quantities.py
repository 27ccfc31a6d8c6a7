"""When two quantities are the same quantity, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.wording.quantities import quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("350ml", ("350", "ml")), ("350 ml", ("350", "ml")), ("£68", ("68", "GBP")), ("68 GBP", ("68", "GBP")),
        ("¥199", ("199", "CNY")), ("199元", ("199", "CNY")), ("5.2% ABV", ("5.2", "%")), ("12-hour", ("12", "hour")),
        ("1,000 W", ("1000", "w")), ("500毫升", ("500", "ml")), ("two years", ("2", "year")), ("三年", ("3", "year")),
        ("sleeps 4 in Kent", ("4", None)), ("8.25 in wide", ("8.25", "inch")), ("十二小时", ("12", "hour")),
    ],
)  # fmt: skip
def test_a_quantity_is_its_number_and_unit_however_written(text: str, expected: tuple[str, str | None]) -> None:
    assert expected in [(q.number, q.unit) for q in quantities(text)]


def test_a_range_carries_its_currency_to_both_ends() -> None:
    assert [(q.number, q.unit) for q in quantities("£20-25")] == [("20", "GBP"), ("25", "GBP")]


@given(st.text())
def test_any_text_can_be_taken_apart(text: str) -> None:
    quantities(text)
