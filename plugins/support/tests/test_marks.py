"""Sources named, placeholders kept, spans word for word, listings and reviews: cases for each smaller check."""

from __future__ import annotations

from typing import Any

import pytest

from metier_support.checks import listing_facts, listing_form, passages_named, placeholders, review_fair, review_quotes
from metier_support.checks import spans_verbatim as spans

PASSAGES = [{"id": "P1", "text": "Express is £6.95."}, {"id": "P2", "text": "Track at {{link}}, open 9 am."}]


def case(message: str = "hi", **more: Any) -> dict[str, Any]:
    return {"dialogue": [{"who": "customer", "text": message}], "passages": PASSAGES, **more}


@pytest.mark.parametrize(
    ("used", "reply", "right"),
    [
        (["P1"], "Express is £6.95.", True),
        ([], "Hello!", True),
        ([], "Express is £6.95.", False),
        (["P9"], "Hello!", False),
        (["P1", "P1"], "£6.95", False),
        (["P1"], "We open at 9 am.", False),
        (["P2"], "We open at 9:00.", True),
    ],
)
def test_a_reply_names_the_passages_it_is_based_on(used: list[str], reply: str, right: bool) -> None:
    assert (not passages_named.run(case(), {"used": used, "reply": reply})) is right


def test_a_figure_of_the_order_needs_no_passage() -> None:
    assert not passages_named.run(case(order={"total": "£6.95"}), {"used": [], "reply": "It was £6.95."})


@pytest.mark.parametrize(
    ("used", "reply", "right"),
    [
        (["P2"], "Here: {{link}}", True),
        ([], "Hello [ORDER_ID]", True),
        (["P2"], "Here: {{ link }}", False),
        (["P2"], "See the link.", False),
        ([], "Here: {{link}", False),
        ([], "Hello {first_name}", False),
        ([], "Hello %NAME%", False),
        ([], "请看 {{link}}", True),
    ],
)
def test_placeholders_come_out_as_they_went_in(used: list[str], reply: str, right: bool) -> None:
    assert (not placeholders.run(case("where is [ORDER_ID]"), {"used": used, "reply": reply})) is right


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ([("product", "green kettle"), ("amount", "£39")], True),
        ([("product", "kettle green")], False),
        ([("amount", "kettle")], False),
        ([("order_number", "kettle")], False),
        ([("amount", "£39"), ("amount", "£39")], False),
        ([], True),
    ],
)
def test_spans_stand_in_the_message(found: list[tuple[str, str]], right: bool) -> None:
    listed = [{"label": label, "text": text} for label, text in found]
    assert (not spans.run({"text": "the green kettle, £39"}, {"spans": listed})) is right


GOODS = {
    "photo": "x.png",
    "seen": "TARN 2200W",
    "attributes": {"name": "Tarn kettle", "capacity": "1.7 l", "waterproof": "no"},
}


@pytest.mark.parametrize(
    ("title", "description", "right"),
    [
        ("Tarn kettle, 1.7 l", "With 2200 W.", True),
        ("Tarn kettle, 1.8 l", "A kettle.", False),
        ("Tarn kettle", "Made of stainless steel.", False),
        ("Tarn kettle", "Our best kettle.", False),
        ("Tarn kettle", "食品级材质。", False),
        ("Tarn kettle", "It is not dishwasher-safe.", True),
    ],
)
def test_a_listing_adds_no_number_and_no_claim(title: str, description: str, right: bool) -> None:
    output = {"title": title, "bullets": ["Boils", "Pours"], "description": description}
    assert (not listing_facts.run(GOODS, output)) is right


@pytest.mark.parametrize(
    ("title", "bullets", "right"),
    [
        ("Tarn kettle", ["a", "b"], True),
        ("x" * 81, ["a", "b"], False),
        ("TARN KETTLE GREEN", ["a", "b"], False),
        ("Tarn kettle!!", ["a", "b"], False),
        ("爆款水壶", ["a", "b"], False),
        ("Tarn kettle", ["Boils fast.", "boils fast"], False),
        ("{brand} kettle", ["a", "b"], True),
    ],
)
def test_a_title_is_short_and_calm(title: str, bullets: list[str], right: bool) -> None:
    assert (not listing_form.run(GOODS, {"title": title, "bullets": bullets, "description": "d"})) is right


REVIEWS = {"reviews": [{"text": "Boils fast, it’s great.", "rating": 5}, {"text": "Leaks after 3 weeks", "rating": 1}]}


@pytest.mark.parametrize(
    ("summary", "right"),
    [
        ('It "boils fast", but "Leaks after 3 weeks".', True),
        ('"it\'s great", says one.', True),
        ("“Boils fast”，但漏水。", True),
        ('It "boils in a minute".', False),
        ("It boils fast.", False),
    ],
)
def test_a_summary_quotes_word_for_word(summary: str, right: bool) -> None:
    assert (not review_quotes.run(REVIEWS, {"pros": [], "cons": [], "summary": summary})) is right


@pytest.mark.parametrize(
    ("pros", "cons", "aspects", "right"),
    [
        (["boils fast"], ["leaks"], [], True),
        (["boils fast"], [], [], False),
        ([], ["leaks"], [], False),
        (["boils fast", "cheap"], ["leaks"], [], False),
        (["boils fast"], ["leaks after 2 weeks"], [], False),
        (["boils fast"], ["leaks"], [{"aspect": "speed", "sentiment": "positive"}], True),
    ],
)
def test_a_digest_shows_both_sides_and_makes_nothing_up(
    pros: list[str], cons: list[str], aspects: list[dict[str, str]], right: bool
) -> None:
    output = {"aspects": aspects, "pros": pros, "cons": cons, "summary": '"Boils fast"'}
    assert (not review_fair.run(REVIEWS, output)) is right


def test_a_good_review_alone_needs_no_bad_side() -> None:
    only = {"reviews": [{"text": "Boils fast", "rating": 5}]}
    output = {"aspects": [{"aspect": "lid", "sentiment": "negative"}], "pros": ["fast"], "cons": [], "summary": "s"}
    assert review_fair.run(only, {**output, "aspects": []}) == []
    assert review_fair.run(only, output) != []
