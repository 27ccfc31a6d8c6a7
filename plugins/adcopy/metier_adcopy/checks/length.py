"""Copy must keep within its limit, counted as the platforms count: a full-width character takes two places."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.tasks import DESCRIBE

RULE = "Google Ads, text ad specifications: a double-width character counts as two"


def width(text: str) -> int:
    """Places a text takes: East Asian Wide and Fullwidth characters (UAX #11) two, combining marks none, others one."""
    composed = unicodedata.normalize("NFC", text)
    return sum(
        0 if unicodedata.combining(c) or unicodedata.category(c) == "Cf"
        else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in composed
    )  # fmt: skip


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding where the text is longer than `max_chars`; none where the brief sets no limit."""
    limit, text = input.get("max_chars"), str(output.get("text", ""))
    if not isinstance(limit, int) or (taken := width(text)) <= limit:
        return []
    return [Finding(message=f"takes {taken} characters, the limit is {limit}", rule=RULE, excerpt=text[-40:])]


length = Check(
    name="length",
    title="Within the length limit",
    tasks=(DESCRIBE,),
    run=run,
    passing=({"facts": "名称[云眠枕]", "max_chars": 14}, {"text": "云眠枕，睡吧。"}),
    failing=({"facts": "名称[云眠枕]", "max_chars": 13}, {"text": "云眠枕，睡吧。"}),
    description="Within max_chars, full-width characters counted double as Google Ads counts them.",
)
