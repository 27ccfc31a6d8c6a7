"""A digest of reviews must show both sides where there are two, and rest on what the reviews say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.data import terms
from metier_support.tasks import REVIEW

RULE = "16 CFR 465 (FTC rule on consumer reviews): no suppression of negative reviews; house rule: both sides"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings where a side that the stars show is missing, the lists contradict the aspects, or a point is made up."""
    reviews = input.get("reviews")
    listed = [r for r in (reviews if isinstance(reviews, list) else ()) if isinstance(r, Mapping)]
    stars = [r["rating"] for r in listed if isinstance(r.get("rating"), int | float)]
    pros, cons = _list(output, "pros"), _list(output, "cons")
    aspects = [a for a in _list(output, "aspects") if isinstance(a, Mapping)]
    found = []
    if any(s <= 2 for s in stars) and not cons:
        found.append(Finding(message="leaves out what buyers with two stars or fewer say", rule=RULE))
    if any(s > 4 for s in stars) and not pros:
        found.append(Finding(message="leaves out what buyers with five stars say", rule=RULE))
    for side, points, word in ((pros, "pros", "positive"), (cons, "cons", "negative")):
        named = [str(a.get("aspect")) for a in aspects if a.get("sentiment") in {word, "mixed"}]
        if named and not side:
            found.append(
                Finding(message=f"finds {named[0]} {word}, but lists no {points}", rule=RULE, excerpt=named[0])
            )
    known = " ".join(str(r.get("text", "")) for r in listed)
    words = set(terms(known))
    characters = set(known)
    for point in (*pros, *cons):
        # A point may be put in other words, but not in none of the reviews' own.
        own = [t for t in terms(str(point)) if t in words or (t[:4] and any(w[:4] == t[:4] for w in words))]
        if not own and not sum(c in characters for c in str(point) if c > "\u3400") >= 2:
            found.append(Finding(message=f"{point!r} is in no review", rule=RULE, excerpt=str(point)))
    numbers = set(_NUMBER.findall(known))
    # A summary may count the reviews and their stars.
    counts = numbers | {f"{s:g}" for s in stars} | {str(n) for n in range(len(listed) + 1)} | {"5"}
    stated = [(" ".join(map(str, [*pros, *cons])), numbers), (str(output.get("summary", "")), counts)]
    for text, allowed in stated:
        for figure in dict.fromkeys(_NUMBER.findall(text)):
            if figure not in allowed:
                found.append(Finding(message=f"the number {figure} is in no review", rule=RULE, excerpt=figure))
    return found


def _list(output: Mapping[str, Any], name: str) -> list[Any]:
    value = output.get(name)
    return value if isinstance(value, list) else []


_REVIEWS: Value = {"reviews": [{"text": "Boils fast.", "rating": 5}, {"text": "Leaks.", "rating": 1}]}
review_fair = Check(
    name="review_fair",
    title="Balanced and grounded",
    tasks=(REVIEW,),
    run=run,
    passing=(_REVIEWS, {"aspects": [], "pros": ["boils fast"], "cons": ["leaks"], "summary": '"Leaks", says one.'}),
    failing=(_REVIEWS, {"aspects": [], "pros": ["boils fast"], "cons": [], "summary": '"Boils fast", says one.'}),
    description="Both sides where there are two, and nothing that no review says.",
)
