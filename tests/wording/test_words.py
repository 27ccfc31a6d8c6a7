"""When two words are the same word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.wording.words import Text, same, tokens


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


@given(st.text())
def test_any_text_can_be_taken_apart(text: str) -> None:
    Text(text)
