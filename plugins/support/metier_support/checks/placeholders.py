"""Placeholders that a help desk fills in later must survive: spelt as they came, none made up, none of a used passage
dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.case import order_text, passages, policy, text_by
from metier_support.tasks import LISTING, REPLY

RULE = "House rule: placeholders survive"
PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]{1,60}\}\}|\$\{[^{}\n]{1,60}\}|\{%[^{}\n]{1,60}%\}|\{[A-Za-z_][\w. ]{0,40}\}|<<[^<>\n]{1,40}>>"
    r"|\[\[[^\[\]\n]{1,40}\]\]|\[[A-Z][A-Z0-9_ ]{1,40}\]|%[A-Za-z_]\w{1,40}%|<[A-Z][A-Z_]{1,40}>"
)
_BROKEN = re.compile(r"\{\{(?![^{}\n]{1,60}\}\})|(?<!\{)\{(?=[^{}\n]{0,60}\}\})|\{\{[^{}\n]{1,60}\}(?!\})")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per placeholder that was made up, misspelt, broken or dropped."""
    is_reply = "reply" in output
    answer_text = str(output["reply"]) if is_reply else " ".join(_strings(output))
    given = (
        f"{policy(input)}\n{order_text(input)}\n{text_by(input, 'customer')}\n{text_by(input, 'agent')}"
        if is_reply
        else " ".join(_strings(input))
    )
    known = set(PLACEHOLDER.findall(given))
    found = [
        Finding(message=f"the placeholder {mark} is not in the input", rule=RULE, excerpt=mark)
        for mark in dict.fromkeys(PLACEHOLDER.findall(answer_text))
        if mark not in known
    ]
    rest = PLACEHOLDER.sub("", answer_text)
    if broken := _BROKEN.search(rest):
        found.append(Finding(message="a placeholder is broken", rule=RULE, excerpt=rest[broken.start() :][:30]))
    listed = output.get("used")
    used = listed if is_reply and isinstance(listed, list) else []
    for name, text in passages(input):
        for mark in PLACEHOLDER.findall(text) if name in used else ():
            if mark not in answer_text:
                found.append(Finding(message=f"{name}'s placeholder {mark} was dropped", rule=RULE, excerpt=mark))
    return found


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [s for k, v in value.items() if k != "photo" for s in _strings(v)]
    return [s for item in value for s in _strings(item)] if isinstance(value, list) else []


_CASE: Value = {
    "dialogue": [{"who": "customer", "text": "where is it"}],
    "passages": [{"id": "P1", "text": "Track it at {{tracking_link}}."}],
}
placeholders = Check(
    name="placeholders",
    title="Placeholders kept",
    tasks=(REPLY,),
    run=run,
    passing=(_CASE, {"escalate": False, "used": ["P1"], "reply": "Follow it here: {{tracking_link}}"}),
    failing=(_CASE, {"escalate": False, "used": ["P1"], "reply": "Follow it here: {{tracking link}"}),
    description="Placeholders come out as they went in.",
)

_GOODS: Value = {"photo": "mug.png", "attributes": {"brand": "{brand}", "product": "mug"}}
_REST: Value = {"bullets": ["A mug", "From {brand}"], "description": "A mug."}
listing_placeholders = Check(
    name="listing_placeholders",
    title="Placeholders kept",
    tasks=(LISTING,),
    run=run,
    passing=(_GOODS, {**_REST, "title": "{brand} mug"}),
    failing=(_GOODS, {**_REST, "title": "{Brand} mug"}),
    description="Placeholders of a feed template come out as they went in.",
)
