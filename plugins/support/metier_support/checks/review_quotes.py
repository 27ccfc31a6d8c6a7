"""A summary of reviews must quote a buyer, and quote word for word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.tasks import REVIEW

RULE = "16 CFR 255.1(b): an endorsement may not be distorted; house rule: quote word for word"
_QUOTE = re.compile(r"\"([^\"]+)\"|“([^”]+)”|「([^」]+)」")


def quotes(text: str) -> list[str]:
    """What is in quotation marks."""
    return [next(part for part in found.groups() if part) for found in _QUOTE.finditer(text)]


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per quotation that is in no review; one where nothing is quoted, or a number is made up."""
    reviews = input.get("reviews")
    texts = [str(r.get("text", "")) for r in (reviews if isinstance(reviews, list) else ()) if isinstance(r, Mapping)]
    known = [_plain(t) for t in texts]
    summary = str(output.get("summary", ""))
    quoted = quotes(summary)
    found = [
        Finding(message=f"quotes {quote!r}, which no review says", rule=RULE, excerpt=quote)
        for quote in quoted
        if not any(_plain(quote).strip(" .,!?。，！？") in text for text in known)
    ]
    if not quoted:
        found.append(Finding(message="quotes no review", rule=RULE, excerpt=summary[:60]))
    return found


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").casefold().split())


_REVIEWS: Value = {"reviews": [{"text": "Boils fast. The lid is stiff.", "rating": 4}]}
_REST: Value = {"aspects": [], "pros": ["boils fast"], "cons": ["stiff lid"]}
review_quotes = Check(
    name="review_quotes",
    title="Quotes verbatim",
    tasks=(REVIEW,),
    run=run,
    passing=(_REVIEWS, {**_REST, "summary": 'It "boils fast", but the lid is stiff.'}),
    failing=(_REVIEWS, {**_REST, "summary": 'It "boils in a minute".'}),
    description="The summary quotes, word for word.",
)
