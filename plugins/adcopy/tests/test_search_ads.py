"""Search ads as the platforms take them: lengths, headlines that differ, a call to action, and no fact of their own."""

from __future__ import annotations

from typing import Any

import pytest

from metier.contracts import ContractError
from metier_adcopy.checks.ad_limits import ad_limits
from metier_adcopy.checks.call_to_action import call_to_action
from metier_adcopy.checks.facts_invented import facts_invented
from metier_adcopy.checks.headlines_differ import alike, headlines_differ
from metier_adcopy.tasks import search_ads

FACTS = {"facts": "name[Alder bench], wood[oak], price[£89]"}


def ad(headlines: list[str], descriptions: list[str] | None = None) -> dict[str, Any]:
    return {"headlines": headlines, "descriptions": descriptions or ["An oak bench.", "Order it for £89."]}


@pytest.mark.parametrize(
    "output",
    [
        ad(["Oak bench", "£89"]),
        ad(["x" * 31, "Oak bench", "£89"]),
        ad([f"Bench {n}" for n in range(16)]),
        ad(["Oak", "Bench", "£89"], ["One."]),
        ad(["Oak", "Bench", "£89"], ["x" * 91, "Two."]),
        ad(["Oak", "Bench", "£89"], ["1", "2", "3", "4", "5"]),
        ad(["Oak", "", "£89"]),
    ],
)
def test_the_schema_itself_refuses_what_google_refuses(output: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        search_ads.check_output(output)


def test_the_most_that_google_takes_satisfies_the_schema() -> None:
    search_ads.check_output(ad(["x" * 30] * 15, ["y" * 90] * 4))


@pytest.mark.parametrize(
    ("platform", "headline", "found"),
    [
        (None, "汉" * 15, False),
        ("google", "汉" * 16, True),
        ("baidu", "汉" * 25, False),
        ("baidu", "汉" * 26, True),
        ("baidu", "汉" * 4, True),
        ("google", "Oak bench, £89", False),
    ],
)
def test_a_headline_keeps_its_platforms_length_a_full_width_character_counted_double(
    platform: str | None, headline: str, found: bool
) -> None:
    output = {"headlines": [headline], "descriptions": []}
    assert bool(ad_limits.run({**FACTS, "platform": platform}, output)) is found


@pytest.mark.parametrize(("platform", "most"), [("google", 45), ("baidu", 40)])
def test_a_description_keeps_its_platforms_length_too(platform: str, most: int) -> None:
    given = {**FACTS, "platform": platform}
    assert not ad_limits.run(given, {"headlines": [], "descriptions": ["汉" * most]})
    (finding,) = ad_limits.run(given, {"headlines": [], "descriptions": ["汉" * (most + 1)]})
    assert "description 1" in finding.message and finding.rule


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Oak bench, £89", "£89 oak benches"),
        ("Order today", "Order today!"),
        ("橡木书桌，点击选购", "点击选购橡木书桌"),
    ],
)
def test_the_same_words_in_another_order_are_a_repetition(one: str, other: str) -> None:
    assert alike(one, other)
    (finding,) = headlines_differ.run(FACTS, ad([one, "Something else here", other]))
    assert "headline 3 repeats 1" in finding.message and finding.excerpt == other


@pytest.mark.parametrize(
    ("one", "other"), [("Oak bench, 120 cm", "Oak bench, £89"), ("Order today", "Oak bench"), ("橡木书桌", "全国配送")]
)
def test_headlines_that_add_something_differ(one: str, other: str) -> None:
    assert not alike(one, other)


@pytest.mark.parametrize(
    "headline", ["Order it for £89.", "Sore back? Book a seat.", "一张书桌，点击选购", "Click here"]
)
def test_an_imperative_verb_is_a_call_to_action(headline: str) -> None:
    assert not call_to_action.run(FACTS, ad(["Oak bench", "Alder", headline], ["Oak.", "Bench."]))


@pytest.mark.parametrize("headline", ["A book about benches", "The bench that gets looks", "橡木书桌很结实"])
def test_a_verb_in_the_middle_of_a_statement_is_none(headline: str) -> None:
    (finding,) = call_to_action.run(FACTS, ad(["Oak bench", "Alder", headline], ["Oak.", "Bench."]))
    assert "6167122" in (finding.rule or "")


def test_an_ad_can_state_the_landing_page_and_the_keyword_and_nothing_else() -> None:
    given = {**FACTS, "page": "delivery[free over £50]", "keyword": "hall bench"}
    assert not facts_invented.run(given, ad(["Free delivery over £50", "Hall bench in oak", "£89"]))
    found = facts_invented.run(FACTS, ad(["Free delivery over £50", "Hall bench in oak", "£89"]))
    assert {finding.excerpt for finding in found} >= {"£50", "free delivery"}


def test_a_headline_in_title_case_is_not_taken_for_a_row_of_names() -> None:
    assert not facts_invented.run(FACTS, ad(["Solid Oak Hall Bench", "Made For Muddy Boots", "£89"]))
    assert facts_invented.run(FACTS, ad(["An oak bench for London", "Oak", "£89"]))
