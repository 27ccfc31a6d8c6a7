"""Texts that are broken, repeated, rude or in another language are found; short forms of the trade are not."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.well_formed import well_formed

EN = {"facts": "name[Kelso 山], product[waxed jacket], price[£165]", "language": "en"}
ZH = {"facts": "名称[半亩茶], 品牌[Lumi Tea House of Fuding], 价格[68元]", "language": "zh"}


def messages(input: dict[str, str], **output: object) -> list[str]:
    return [finding.message for finding in well_formed.run(input, output)]


@pytest.mark.parametrize(
    "text",
    ["Rain? Good. The Kelso 山 waxed jacket is £165.", "Sit. Stand. Sit again. Kelso, £165!", "Is it rain? It is."],
)
def test_good_english_passes(text: str) -> None:
    assert messages(EN, text=text) == []


@pytest.mark.parametrize(
    "text", ["半亩茶，68元，慢慢喝。", "Lumi Tea House of Fuding 半亩茶，68元。", "喝吧，茶还热着呢！"]
)
def test_good_chinese_passes(text: str) -> None:
    assert messages(ZH, text=text) == []


@pytest.mark.parametrize(
    ("input", "text", "message"),
    [
        (EN, "The Kelso waxed jacket is £165 and", "breaks off"),
        (EN, "The Kelso waxed jacket is one of the.", "breaks off"),
        (EN, "Kelso, £165. A jacket for rain, £165.", "twice"),
        (EN, "A jacket for the weather you have. A jacket for the weather you have.", "twice"),
        (EN, "The the Kelso is £165.", "twice"),
        (EN, "Kelso 蜡布夹克，£165。", "language"),
        (EN, "Ирландская куртка Kelso.", "language"),
        (EN, "Rain? La veste Kelso est pour vous, avec une poche.", "language"),
        (ZH, "半亩茶68元，ゆっくり喝。", "language"),
        (EN, "Kelso is £165. You clearly cannot read, so do not complain.", "rude"),
        (EN, "Kelso is £165. Frankly, our jackets are junk.", "rude"),
        (ZH, "半亩茶68元，慢慢", "breaks off"),
        (ZH, "半亩茶68元。半亩茶，68元，68元。", "twice"),
        (ZH, "慢慢喝，才有味道。慢慢喝，才有味道。", "twice"),
        (ZH, "Half an acre of tea, slowly brewed.", "language"),
        (ZH, "半亩茶68元，the tea you have been waiting for。", "language"),
        (ZH, "半亩茶68元。嫌贵就别买，我们质量很差。", "rude"),
    ],
)
def test_a_fault_is_found(input: dict[str, str], text: str, message: str) -> None:
    assert any(message in one for one in messages(input, text=text)), messages(input, text=text)


def test_a_headline_needs_no_full_stop_but_no_loose_end_either() -> None:
    assert messages(EN, headlines=["Kelso waxed jacket", "Put the kettle on"], descriptions=["Order it today."]) == []
    assert (
        messages(EN, headlines=["A jacket for the"], descriptions=["Order it today"]) == ["breaks off at the end"] * 2
    )


def test_texts_of_an_ad_end_alike() -> None:
    headlines = ["Kelso waxed jacket"]
    assert messages(EN, headlines=headlines, descriptions=["Rain is coming", "Order it today"]) == []
    assert messages(EN, headlines=headlines, descriptions=["Rain is coming.", "Order it tod"]) == [
        "breaks off at the end"
    ]
