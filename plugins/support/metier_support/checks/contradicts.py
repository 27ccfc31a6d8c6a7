"""A reply must not turn round what the policy and the order say: a negation added or lost, `after` for `within`.

Only words and numbers that the case itself holds are compared, so that a reply in words of its own is never judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording import contradictions, normalise
from metier.wording.conditions import AFTER, AT_LEAST, AT_MOST, BEFORE, UNDER, bounds
from metier_support.case import order, order_text, policy
from metier_support.tasks import REPLY

RULE = "House rule: a reply says what the policy and the order say, the right way round"
_OPPOSITES = {
    frozenset(pair)
    for pair in ((AT_LEAST, AT_MOST), (AT_LEAST, UNDER), (BEFORE, AFTER), (AT_MOST, AFTER))
}  # fmt: skip
_NOT_FIGURE = re.compile(r"(?:\b(?:is|are|was|were|costs?|does) not(?: cost)? |不是|并非)([£$€¥]?\d[\d,]*(?:\.\d+)?)")
_FIGURE = re.compile(r"[£$€¥]?\d[\d,]*(?:\.\d+)?")
_SENTENCE = re.compile(r"[.!?](?!\d)|[。！？\n]")
_DENIAL_OF_LIMIT = re.compile(
    r"\b(?:not|no|cannot|never|too late|closed|ended|expired|past)\b|不(?!满|足|到)|没|无法|过了|超过|已经|才"
)
_SIDE = re.compile(
    r"(?<!\d)(?P<number>\d{1,6}) (?:working |business )?(?P<unit>[a-z]{1,12}?)s? (?P<side>before|after)\b|"
    r"(?P<event>[㐀-鿿]{2})(?P<han>[前后])(?P<count>\d{1,6})(?!\d)"
)
"""A term and whether it lies before or after an event: `2 hours before dispatch`, 发货前2小时."""
_LONGEST = 40
"""Characters of an order fact that is looked for as a whole."""
_MOST = 40
"""Order facts that are looked for."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per clause that the policy or the order contradicts."""
    return list(dict.fromkeys(_findings(input, str(output.get("reply", "")))))


def _findings(input: Mapping[str, Any], reply: str) -> Iterator[Finding]:
    facts = f"{policy(input)}\n{order_text(input)}"
    plain, known = normalise(reply), normalise(facts)
    for clause in contradictions(reply, facts):
        yield Finding(message=f"says the opposite of the policy: {clause[:60]}", rule=RULE, excerpt=clause[:40])
    amounts, denied = set(_FIGURE.findall(known)), {match[0] for match in _NOT_FIGURE.finditer(known)}
    for match in _NOT_FIGURE.finditer(plain):
        if match[1] in amounts and match[0] not in denied:
            yield Finding(message=f"denies {match[1]}, which the case gives", rule=RULE, excerpt=match[0])
    yield from _status_denied(input, plain)
    # A limit that is denied is turned round rightly: `not after 14 days`.
    stated = "\n".join(part for part in _SENTENCE.split(plain) if not _DENIAL_OF_LIMIT.search(part))
    sides = _sides(known)
    for term, (side, excerpt) in _sides(stated).items():
        if term in sides and sides[term][0] != side:
            message = f"says {excerpt!r}, where the policy says {sides[term][1]!r}"
            yield Finding(message=message, rule=RULE, excerpt=excerpt)
    given: dict[str, set[str | None]] = {}
    for bound in bounds(facts):
        given.setdefault(bound.number, set()).add(bound.relation)
    for bound in bounds(stated):
        relations = given.get(bound.number, set())
        if relations and all(r and frozenset((r, bound.relation)) in _OPPOSITES for r in relations):
            wanted = " or ".join(sorted(relation for relation in relations if relation))
            message = f"{bound.relation} {bound.number}, where the policy gives {wanted} {bound.number}"
            yield Finding(message=message, rule=RULE, excerpt=bound.excerpt)


def _status_denied(input: Mapping[str, Any], plain: str) -> Iterator[Finding]:
    for key, value in list(order(input).items())[:_MOST]:
        fact = normalise(value).strip().removeprefix("已")
        if not 2 <= len(fact) <= _LONGEST or _DENIAL_OF_LIMIT.search(fact) or fact[0].isdigit():
            continue
        negator = r"(?:\bnot (?:yet )?(?:been |yet )?|(?:没有?|未|不是)(?:有|在)?)"
        if denied := re.search(rf"{negator}{re.escape(fact)}(?![a-z])", plain):
            yield Finding(message=f"denies the order's {key}: {denied[0]}", rule=RULE, excerpt=denied[0])


def _sides(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(number, unit or event) → (before or after, the words); a term with both sides is left out."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    both = set()
    for match in _SIDE.finditer(text):
        term = (match["number"] or match["count"], match["unit"] or match["event"])
        side = match["side"] or ("before" if match["han"] == "前" else "after")
        if found.setdefault(term, (side, match[0]))[0] != side:
            both.add(term)
    return {term: value for term, value in found.items() if term not in both}


_CASE: Value = {
    "dialogue": [{"who": "customer", "text": "is a cracked screen covered?"}],
    "passages": [{"id": "P1", "text": "A cracked screen is not covered. Report faults within 14 days."}],
}
_ANSWER: Value = {"intent": "warranty", "escalate": False, "used": ["P1"]}
contradicts = Check(
    name="contradicts",
    title="Nothing turned round",
    tasks=(REPLY,),
    run=run,
    passing=(_CASE, {**_ANSWER, "reply": "I'm afraid a cracked screen is not covered."}),
    failing=(_CASE, {**_ANSWER, "reply": "A cracked screen is covered."}),
    description="No negation and no limit of the policy or the order is turned round.",
)
