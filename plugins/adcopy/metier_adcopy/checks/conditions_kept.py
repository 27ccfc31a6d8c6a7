"""A condition of the brief must stay with its number: free over £50 is not free, and not free under £50.

Misleading omission of a condition is deceptive under the FTC's Deception Policy Statement (1983) and under article 8
of China's Advertising Law, which wants conditions of an offer stated clearly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier.wording.conditions import AT_LEAST, UNDER, WORDS, agree, bounds
from metier.wording.words import normalise
from metier_adcopy.copy_of import pieces, sayable
from metier_adcopy.facts import known_facts
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS

RULE = "FTC Deception Policy Statement (1983); 《中华人民共和国广告法》第八条：附条件的优惠应当准确、清楚"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per condition that is dropped, added or turned round."""
    return list(dict.fromkeys(_findings(input, output)))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    given: dict[str, set[str | None]] = {}
    for fact in sayable(input):
        for bound in bounds(f"{fact.key}: {fact.value}"):
            given.setdefault(bound.number, set()).add(bound.relation)
    for piece in pieces(output):
        for bound in bounds(piece):
            known = given.get(bound.number)
            if known is None or any(agree(bound.relation, relation) for relation in known):
                continue
            wanted = " or ".join(sorted(relation for relation in known if relation))
            if bound.relation is None:
                message = f"{bound.number} has lost its condition: the brief gives {wanted} {bound.number}"
            elif wanted:
                message = f"{bound.relation} {bound.number}, where the brief gives {wanted} {bound.number}"
            elif bound.relation in (AT_LEAST, UNDER):
                # `within 45 minutes` and `up to 8` only say how 45 and 8 are meant.
                message = f"{bound.relation} {bound.number}, where the brief sets no such condition"
            else:
                continue
            yield Finding(message=message, rule=RULE, excerpt=bound.excerpt)
    yield from _words(input, "\n".join(pieces(output)))


def _words(input: Mapping[str, Any], text: str) -> Iterator[Finding]:
    plain = normalise(text)
    facts = [normalise(fact.value) for fact in known_facts(input)]
    for given, kept in WORDS:
        if not kept.search(plain):
            for fact in facts:
                if found := given.search(fact):
                    yield Finding(message=f"does not keep the condition of {fact[:60]!r}", rule=RULE, excerpt=found[0])


_FACTS = {"facts": "name[Alder bench], price[£89], delivery[free over £50]"}
conditions_kept = Check(
    name="conditions_kept",
    title="Conditions kept",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(dict(_FACTS), {"text": "The Alder bench is £89. Delivery is free over £50."}),
    failing=(dict(_FACTS), {"text": "The Alder bench is £89. Delivery is free under £50."}),
    description="Each number keeps the condition that the brief gives it: over, up to, before, 满, 以内.",
)
