"""A number must stand with the fact it comes from: six rooms and 70 cm are not 70 rooms and 6 cm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.copy_of import pieces, sayable
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS
from metier_adcopy.wording.labels import Labels, labelled, ranges

RULE = "House rule: a number stays with its fact"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per number beside the name of a fact that has other numbers."""
    facts = sayable(input)
    labels = Labels(facts)
    spans = {span for fact in facts for span in ranges(fact.value)}
    found = []
    for piece in pieces(output):
        for start, end in ranges(piece):
            if (end, start) in spans and (start, end) not in spans:
                message = f"{start} to {end}, where the brief has {end} to {start}"
                found.append(Finding(message=message, rule=RULE, excerpt=f"{start} to {end}"))
        for one in labelled(piece):
            given = labels.given(one)
            if given and one.number not in given:
                wanted = " or ".join(sorted(given))
                message = f"{one.number}, where the brief has {wanted}"
                found.append(Finding(message=message, rule=RULE, excerpt=one.excerpt))
    return list(dict.fromkeys(found))


_FACTS = {"facts": "name[Fable], product[dollhouse], rooms[6], height[70 cm]"}
numbers_belong = Check(
    name="numbers_belong",
    title="Numbers belong",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(dict(_FACTS), {"text": "Fable is a 70 cm dollhouse with 6 rooms."}),
    failing=(dict(_FACTS), {"text": "Fable is a 6 cm dollhouse with 70 rooms."}),
    description="No number beside the name of a fact that has another one.",
)
