"""What is extracted must be in the message word for word, once, and look like what its label says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.tasks import ENTITIES

RULE = "House rule: extract, do not rephrase"
_LOOKS = {
    "order_number": re.compile(r"\d"),
    "amount": re.compile(
        r"\d|[一二两三四五六七八九十百千]|\b(?:one|two|three|four|five|ten|twenty|thirty|forty|fifty|hundred)\b",
        re.IGNORECASE,
    ),
}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per span that is not in the message, is repeated, or cannot be what it is called."""
    text, spans = str(input.get("text", "")), output.get("spans")
    found, seen = [], set()
    for span in spans if isinstance(spans, list) else ():
        label, words = str(span.get("label", "")), str(span.get("text", ""))
        if words not in text:
            found.append(Finding(message=f"{label} {words!r} is not in the message", rule=RULE, excerpt=words))
        if (label, words) in seen:
            found.append(Finding(message=f"{label} {words!r} is listed twice", rule=RULE, excerpt=words))
        if label in _LOOKS and not _LOOKS[label].search(words):
            found.append(
                Finding(
                    message=f"{words!r} is no {label.replace('_', ' ')}: it has no number", rule=RULE, excerpt=words
                )
            )
        seen.add((label, words))
    return found


_TEXT: Value = {"text": "order 4471, the green kettle was £39"}
spans_verbatim = Check(
    name="spans_verbatim",
    title="Spans verbatim",
    tasks=(ENTITIES,),
    run=run,
    passing=(_TEXT, {"spans": [{"label": "order_number", "text": "4471"}, {"label": "amount", "text": "£39"}]}),
    failing=(_TEXT, {"spans": [{"label": "order_number", "text": "4417"}]}),
    description="Every span is in the message word for word.",
)
