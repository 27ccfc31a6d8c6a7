"""Claims that the FTC treats as deceptive unless proved or qualified, with the rule cited."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.ftc import run

CREAM = "name[Aurora Glow], product[cream], size[50 ml]"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The world's best cream.", "Section 5|§ 5"),
        ("The #1 cream.", "§ 5"),
        ("The best cream in the world.", "§ 5"),
        ("Better than any other cream.", "§ 5"),
        ("Guaranteed results.", "§ 5"),
        ("It is risk-free.", "§ 5"),
        ("Cures eczema.", "Health Products"),
        ("Relieves pain.", "Health Products"),
        ("Clinically proven.", "Health Products"),
        ("Doctors recommend it.", "255.3"),
        ("Thousands of happy customers.", "255.2"),
        ("An eco-friendly cream.", "260.4"),
        ("Good for the planet.", "260.4"),
        ("Carbon neutral.", "260.5"),
        ("Compostable.", "260.7"),
        ("Biodegradable.", "260.8"),
        ("Non-toxic.", "260.10"),
        ("Recyclable.", "260.12"),
        ("In a recycled jar.", "260.13"),
        ("A free gift with each jar.", "251"),
        ("Satisfaction guaranteed.", "239"),
        ("Made in the USA.", "323"),
        ("The lowest prices.", "233"),
        ("Hurry, act now.", "Disclosures"),
    ],
)
def test_a_claim_that_calls_for_proof_is_found_with_its_rule(text: str, rule: str) -> None:
    found = run({"facts": CREAM}, {"text": text})
    assert any(any(part in (f.rule or "") for part in rule.split("|")) for f in found), found
    assert all(f.excerpt for f in found)


@pytest.mark.parametrize(
    "text",
    [
        "Aurora Glow is a 50 ml cream.",
        "Best served cold.",
        "The best mornings start late.",
        "A cured ham sandwich.",
        "Treat yourself.",
        "Green as a leaf.",
    ],
)
def test_puffery_and_plain_words_are_let_pass(text: str) -> None:
    assert not run({"facts": CREAM}, {"text": text})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ("material[100% recycled glass]", "100% recycled glass."),
        ("refillable[yes]", "Refillable."),
        ("guarantee[5 years, money back]", "With a money-back guarantee of 5 years."),
        ("consultation[free]", "Consultation free of charge."),
        ("made in[USA]", "Made in the USA."),
        ("name[Risk Free Cafe]", "Risk Free Cafe opens at noon."),
    ],
)
def test_a_claim_that_the_brief_holds_is_let_pass(facts: str, text: str) -> None:
    assert not run({"facts": facts}, {"text": text})


def test_no_fact_of_a_brief_makes_an_unqualified_promise_stand() -> None:
    facts = "name[Aurora Glow], promise[guaranteed results, eco-friendly]"
    assert len(run({"facts": facts}, {"text": "Guaranteed results, and eco-friendly."})) == 2
