"""Clauses that say the opposite of a source, in both languages."""

from __future__ import annotations

import pytest

from metier.wording import contradictions, repeated_words

SOURCE = "Gift cards cannot be exchanged for cash. Workshops start at nine. 礼品卡不可以兑换现金。课程九点开始上课。"


@pytest.mark.parametrize(
    "text", ["Gift cards can be exchanged for cash.", "Workshops never start at nine.", "礼品卡可以兑换现金。"]
)
def test_a_negation_lost_or_added_is_found(text: str) -> None:
    assert list(contradictions(text, SOURCE))


@pytest.mark.parametrize(
    "text",
    [
        "A gift card can't be exchanged for cash.",
        "Can gift cards be exchanged for cash?",
        "No refunds.",
        "礼品卡不能兑换现金。",
        "礼品卡可以兑换现金吗？",
        "Only lost gift cards can be exchanged for cash.",
    ],
)
def test_the_same_a_question_and_other_limits_are_not(text: str) -> None:
    assert not list(contradictions(text, SOURCE))


@pytest.mark.parametrize("text", ["A jug with lid with lid", "大号水杯带吸管大号水杯带吸管"])
def test_words_that_follow_on_themselves_are_a_repetition(text: str) -> None:
    assert repeated_words(text)


@pytest.mark.parametrize("text", ["Very very soft", "50 x 50 cm", "试试看，暖暖的", "la la la la", "高高兴兴出门"])
def test_a_word_for_emphasis_is_none(text: str) -> None:
    assert repeated_words(text) is None
