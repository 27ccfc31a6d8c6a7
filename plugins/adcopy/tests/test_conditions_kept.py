"""Conditions stay with their number: kept in other words, found where dropped, moved, added or turned round."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.conditions_kept import conditions_kept

OFFER = {
    "facts": "name[Pell mug], price[£14], delivery[free over £50], oven safe[up to 250 °C], printing[paid plan only]"
}
DEAL = {"facts": "名称[半亩茶], 价格[68元], 满减[满99元减10元], 年龄[3岁以上], 发货[48小时内]"}


@pytest.mark.parametrize(
    "text",
    [
        "Pell mug, £14. Delivery is free over £50; oven safe up to 250 °C. Printing is for the paid plan only.",
        "Free delivery on orders above £50. The Pell mug is £14, safe to a maximum of 250 °C; paid plan only.",
        "Just £14. Spend more than £50 and delivery is free. Only the paid plan prints.",
    ],
)
def test_a_condition_may_be_kept_in_other_words(text: str) -> None:
    assert not conditions_kept.run(OFFER, {"text": text})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Free delivery: £50. Paid plan only.", "lost its condition"),
        ("Free delivery under £50. Paid plan only.", "under 50"),
        ("Oven safe from 250 °C. Paid plan only.", "250"),
        ("The Pell mug is over £14. Paid plan only.", "at least 14"),
        ("Printing on the paid plan.", "does not keep the condition"),
    ],
)
def test_what_is_dropped_reversed_or_added_is_found(text: str, message: str) -> None:
    found = conditions_kept.run(OFFER, {"text": text})
    assert found and any(message in finding.message for finding in found)
    assert all(finding.rule for finding in found)


def test_conditions_in_chinese() -> None:
    right = "半亩茶68元，满99元减10元，3岁以上可用，48小时内发货。"
    assert not conditions_kept.run(DEAL, {"text": right})
    for wrong in (
        right.replace("满99元", "99元"), right.replace("满99", "不满99"), right.replace("以上", "以下"),
        right.replace("以上", ""), right.replace("68元", "68元起"),
    ):  # fmt: skip
        assert conditions_kept.run(DEAL, {"text": wrong}), wrong


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ("length[6 weeks]", "Learn it over 6 weeks."),
        ("age[from 7 to 11]", "For ages 7 to 11."),
        ("price[£8], under 2s[free]", "Tickets are £8 and under 2s go free."),
        ("response[45 minutes]", "With you within 45 minutes."),
        ("until[6 pm]", "Open to 6 pm."),
        ("内袋[3个]", "3个内袋分开放。"),
        ("外送[3公里内]", "3公里内外送。"),
    ],
)
def test_what_only_looks_like_a_condition_is_none(facts: str, text: str) -> None:
    assert not conditions_kept.run({"facts": facts}, {"text": text})
