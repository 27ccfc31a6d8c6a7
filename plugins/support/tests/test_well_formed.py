"""What a desk sends is whole and civil; an apology, a placeholder and the buyers' own words are not faults."""

from __future__ import annotations

from typing import Any

import pytest

from metier_support.checks.well_formed import run

CASE = {
    "dialogue": [{"who": "customer", "text": "how much is express?"}],
    "passages": [{"id": "P1", "text": "Express costs £6.95. Track it at {{link}}."}],
}


def of_reply(text: str, **fields: Any) -> list[str]:
    return [f.message for f in run({**CASE, **fields}, {"reply": text})]


@pytest.mark.parametrize(
    "text",
    [
        "Express is £6.95.",
        "I'm sorry it is late.",
        "Here is the link: {{link}}",
        "For your safety I can't read it out here.",
        "It is our fault, and we apologise.",
    ],
)
def test_what_a_desk_writes_passes(text: str) -> None:
    assert of_reply(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Express is £6.95. Stop wasting our time.", "reply is rude"),
        ("Honestly, our products are rubbish.", "reply is rude"),
        ("Express is £6.95 and it takes", "reply breaks off"),
        ("Express is £6.95. Express is £6.95.", "reply says the same twice"),
        ("加急要6.95英镑。", "reply leaves the language"),
    ],
)
def test_what_no_desk_sends_is_found(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in of_reply(text))


def test_chinese_replies_are_read_as_english_ones() -> None:
    case = {"dialogue": [{"who": "customer", "text": "加急多少钱"}], "language": "zh"}
    assert run(case, {"reply": "加急15元，您看可以吗？"}) == []
    for text in ("加急15元。我们东西太差，难以投诉。", "加急15元，次日", "Express is 15 yuan a parcel."):
        assert run(case, {"reply": text}), text


def test_a_digest_may_say_what_buyers_call_useless() -> None:
    reviews = {"reviews": [{"text": "Does the job. Instructions useless.", "rating": 3}]}
    digest = {"summary": 'It "does the job", with instructions useless to one.', "pros": ["does the job"]}
    assert run(reviews, digest) == []
    assert run(reviews, {**digest, "summary": "It does the job. Our staff are idiots and the shop is a joke."})


def test_a_title_that_ends_inside_a_word_or_before_its_unit_is_cut() -> None:
    goods = {"photo": "m.png", "attributes": {"product": "wool hat", "lining": "fleece", "capacity": "900 ml"}}
    listing = {"bullets": ["Wool"], "description": "Warm ears."}
    assert run(goods, {**listing, "title": "Wool hat, fleece"}) == []
    assert run(goods, {**listing, "title": "Wool hat, fle"})
    assert run(goods, {**listing, "title": "Wool hat, 900"})
