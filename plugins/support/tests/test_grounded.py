"""Amounts, dates and promises: what is in policy or order passes, the customer's word for it does not."""

from __future__ import annotations

import pytest

from metier_support.checks.grounded import run
from metier_support.figures import figures
from metier_support.promises import promises

POLICY = (
    "We refund within 5 working days. Express is £6.95. Return items within 30 days. Members get 15% off. "
    "We replace damaged goods. Shops close at 6 pm, also on Sundays. 质量问题包邮，三天内发货。"
)
ORDER = {"number": "HP-2210", "total": "38.50", "shipped": "2026-05-03", "fee": "$1,200.00"}


def found(reply: str, message: str = "hi") -> list[str]:
    case = {
        "dialogue": [{"who": "customer", "text": message}],
        "passages": [{"id": "P1", "text": POLICY}],
        "order": ORDER,
    }
    return [finding.message for finding in run(case, {"reply": reply})]


@pytest.mark.parametrize(
    "reply",
    [
        "We refund within five business days.",
        "Express is 6.95 pounds.",
        "You have thirty days.",
        "It shipped on 3 May, that is May 3rd, 2026.",
        "Your total was £38.50 and the fee $1200.",
        "15 percent off for members.",
        "We close at 18:00 on Sunday.",
        "We'll replace it.",
        "We can't send it for free.",
        "Sorry, no voucher can be added.",
        "HP-2210 is on its way.",
        "3天内发货，包邮。",
        "Happy to help with both of them.",
    ],
)
def test_the_reply_can_state_what_policy_or_order_holds(reply: str) -> None:
    assert found(reply) == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("We refund within 5 days.", "5 days"),
        ("Express is $6.95.", "$6.95"),
        ("You have 60 days.", "60 days"),
        ("It shipped on 4 May.", "4 may"),
        ("You get 20% off.", "20%"),
        ("It comes tomorrow.", "tomorrow"),
        ("It comes by Friday.", "friday"),
        ("We close at 8 pm.", "8 pm"),
        ("Here is a voucher for you.", "a discount"),
        ("A courier will collect it.", "a collection"),
        ("We guarantee it.", "a guarantee"),
        ("I will call you back.", "a call back"),
        ("We will pay compensation.", "compensation"),
        ("HP-2211 is on its way.", "hp-2211"),
        ("七天内发货。", "七天"),
        ("送您一张优惠券。", "a discount"),
        ("赔您20元。", "20元"),
    ],
)
def test_what_neither_holds_is_found(reply: str, words: str) -> None:
    assert any(words in message for message in found(reply)), found(reply)


def test_an_amount_of_the_customers_is_not_the_shops() -> None:
    assert found("We owe you £40.", message="you owe me £40") != []


def test_an_order_number_of_the_customers_may_be_repeated() -> None:
    assert found("Thanks, 77-Q it is.", message="order 77-Q") == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("¥199 / 199元 / 199 rmb", [("amount", "199 CNY")] * 3),
        ("£1,299.00", [("amount", "1299 GBP")]),
        ("5月3日 2026-05-03 3rd of May", [("date", "5-3")] * 3),
        ("十五个工作日", [("span", "15 working day")]),
        ("twenty-four hours", [("span", "24 hour")]),
        ("打八折 8折", [("percent", "8折")]),
        ("2-3 working days, 2 to 3 business days", [("span", "2 working day"), ("span", "3 working day")] * 2),
        ("12/04/2026 04/13/26", [("date", "4-12"), ("date", "4-13")]),
        ("order #55812", [("number", "55812")]),
        ("a day in May", []),
    ],
)
def test_one_figure_has_one_spelling(text: str, kinds: list[tuple[str, str]]) -> None:
    assert [(f.kind, f.value) for f in figures(text)] == kinds


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("We'll refund you.", ["a refund"]),
        ("We won't refund it.", []),
        ("Repairs are free of charge.", ["something free"]),
        ("That is not free, but we will replace it.", ["a replacement"]),
        ("Feel free of doubt? No.", ["something free"]),
        ("我们给您补发。", ["a replacement"]),
        ("不能退款。", []),
    ],
)
def test_a_denied_promise_is_none(text: str, labels: list[str]) -> None:
    assert [promise.label for promise, _ in promises(text)] == labels
