"""Copy must not deny what the brief affirms, nor affirm what it denies: not dishwasher safe is a fact as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.copy_of import pieces, sayable
from metier_adcopy.facts import known_facts
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS
from metier_adcopy.wording.negation import Affirmed, denials, lost

RULE = "House rule: state every fact of the brief the right way round"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per fact that is denied, and per negative fact that is affirmed."""
    return list(dict.fromkeys(_findings(input, output)))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    affirmed = Affirmed(sayable(input))
    texts = pieces(output)
    for piece in texts:
        for words in denials(piece, affirmed):
            yield Finding(message=f"denies what the brief affirms: {words}", rule=RULE, excerpt=words)
    text = "\n".join(texts)
    for fact in known_facts(input):
        if lost(text, fact):
            yield Finding(message=f"loses the negation of {fact.key}[{fact.value}]", rule=RULE)


_FACTS = {"facts": "name[Fenwick pie dish], material[enamelled steel], lid[not included]"}
nothing_denied = Check(
    name="nothing_denied",
    title="Nothing denied",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(dict(_FACTS), {"text": "The Fenwick pie dish is enamelled steel. The lid is not included."}),
    failing=(dict(_FACTS), {"text": "The Fenwick pie dish is not enamelled steel. The lid is included."}),
    description="No fact of the brief denied, and none that it denies affirmed.",
)
