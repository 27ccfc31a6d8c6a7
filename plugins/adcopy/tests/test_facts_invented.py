"""What a buyer could hold the seller to, and the brief does not hold, is found; a turn of phrase is not."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.facts_invented import run

MUG = "name[Harrow mug], material[stoneware], capacity[350 ml], price[£14], made in[Kent], dishwasher safe[yes]"

INVENTED = [
    ("It holds 300 ml.", "300"),
    ("It holds 350 g.", "350"),
    ("Yours for $14.", "14"),
    ("Save 20% today.", "20"),
    ("Guaranteed for two years.", "two years"),
    ("The Harrow mug, loved in London.", "London"),
    ("The award-winning Harrow mug.", "award"),
    ("Harrow mug: organic stoneware.", "organic"),
    ("With free shipping.", "free"),
    ("It comes with a warranty.", "warranty"),
    ("Each one is handmade.", "handmade"),
    ("A limited edition mug.", "limited"),
    ("It is waterproof.", "waterproof"),
    ("Plastic-free, too.", "plastic"),
    ("It is family-friendly.", "famil"),
    ("A bestseller.", "bestsell"),
]

HARMLESS = [
    "Slow down. The Harrow mug is stoneware, holds 350ml and costs £14.",
    "Made in Kent, the Harrow mug is dishwasher-safe.",
    "One mug, one morning, and no hurry. Feel free to refill.",
    "“Harrow mug” says it all: Stoneware from Kent.",
    "I keep mine full.",
]


@pytest.mark.parametrize(("text", "excerpt"), INVENTED)
def test_an_addition_to_the_brief_is_found(text: str, excerpt: str) -> None:
    found = run({"facts": MUG}, {"text": text})
    assert any(excerpt.casefold() in f.message.casefold() for f in found), found


@pytest.mark.parametrize("text", HARMLESS)
def test_mood_and_the_brief_in_other_words_are_let_pass(text: str) -> None:
    assert not run({"facts": MUG}, {"text": text})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ("name[Loom], guarantee[2 years]", "Loom has a two-year guarantee."),
        ("name[The Organic Barn], food[Thai]", "The Organic Barn serves Thai food."),
        ("price[24.99 GBP]", "It is £24.99."),
        ("weight[890], unit[g]", "It weighs 890 g."),
        ("length[65-135cm]", "From 65 cm to 135 cm."),
        ("price[£20-25]", "Between 20 and 25 pounds."),
        ("restaurant[Rosa's], food[Itallian]", "At Rosa's, the food is Italian."),
        ("rating[IPX7]", "Rated IPX7."),
        ("名称[静界], 续航[40小时]", "静界，续航40小时。"),
        ("书名[风从海上来], 作者[林知远]", "林知远的《风从海上来》。"),
        ("磨刀[终身免费]", "终身免费磨刀。"),
    ],
)
def test_a_claim_with_a_fact_behind_it_is_let_pass(facts: str, text: str) -> None:
    assert not run({"facts": facts}, {"text": text})


@pytest.mark.parametrize(
    "text",
    [
        "静界，续航50小时。",
        "静界，三年质保。",
        "静界，全国包邮。",
        "静界，获得《时代》推荐。",
        "静界，Sony同款。",
        "静界，续航40小时，专利设计。",
    ],
)
def test_an_addition_in_chinese_is_found(text: str) -> None:
    assert run({"facts": "名称[静界], 续航[40小时]"}, {"text": text})


def test_the_audience_may_be_addressed_in_its_own_words() -> None:
    brief = {"facts": "name[Hopscotch]", "audience": "parents in Leeds with 3 kids"}
    assert not run(brief, {"text": "Hopscotch, for Leeds and its parents of 3."})
