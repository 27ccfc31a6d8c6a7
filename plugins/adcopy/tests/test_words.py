"""When two words are the same word, and when two quantities are the same quantity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier_adcopy.wording.quantities import quantities
from metier_adcopy.wording.words import Text, same, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [("mug", "mugs"), ("polarised", "polarized"), ("stabilisation", "stabilised"), ("navvy", "navy"),
     ("geraneum", "geranium"), ("berry", "berries"), ("waterproof", "waterproofing"), ("refundable", "refund")],
)  # fmt: skip
def test_endings_and_small_typing_errors_keep_a_word_the_same(one: str, other: str) -> None:
    assert same(one, other) and same(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("oak", "ash"), ("350", "35"), ("red", "rest"), ("cotton", "carton"), ("12", "13")]
)
def test_other_words_and_other_numbers_are_not_the_same(one: str, other: str) -> None:
    assert not same(one, other)


def test_numbers_have_one_spelling() -> None:
    assert tokens("Twenty-four 24 24.0 1,000") == ["24", "24", "24", "1000"]


def test_two_words_meet_one_written_together() -> None:
    assert Text("a leak proof lid").has("leakproof")


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
    Text(text)
    quantities(text)
