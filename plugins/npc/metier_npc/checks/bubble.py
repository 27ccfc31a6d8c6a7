"""Spoken text must fit its bubble: a full-width character takes two places, and a bubble has no line breaks."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

RULE = "max_chars, East Asian Wide and Fullwidth characters (UAX #11) counted as two"


def width(text: str) -> int:
    """Places a text takes: two a wide character, none a combining mark or a jamo that joins the syllable before it."""
    return sum(map(_places, text))


def _places(c: str) -> int:
    if unicodedata.combining(c) or "\u1160" <= c <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each bubble that overflows."""
    limit = input.get("max_chars")
    if not isinstance(limit, int):
        return []
    return [
        Finding(message=f"takes {width(text)} characters, the bubble has {limit}", rule=RULE, excerpt=text[-40:])
        for text in spoken_lines(output)
        if width(text) > limit
    ]


def _check(name: str, task: str, input: dict[str, Any], short: dict[str, Any], long: dict[str, Any]) -> Check:
    input = {"speaker": "周婆", "max_chars": 12, **input}
    text = "Fits its bubble, full-width counted double."
    return Check(name, (task,), run, (input, short), (input, long), text, title="Fits the bubble")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
bubble = _check("bubble", LINE, {}, {"line": "河水涨了。", **_REST}, {"line": "河水又涨了。！", **_REST})
bark_bubble = _check(
    "bark_bubble",
    BARK,
    {"situation": "下雨"},
    {"variants": ["河水涨了。"]},
    {"variants": ["涨了。", "河水又涨上来了。"]},
)
persona_bubble = _check(
    "persona_bubble", PERSONA, {"player": "怎么了？"}, {"text": "涨水了。"}, {"text": "河水涨上来了啊。"}
)
