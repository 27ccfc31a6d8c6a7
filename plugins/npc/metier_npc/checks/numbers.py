"""In a long conversation a character must not make up figures: each number is in what it knows or was told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import given, spoken_lines
from metier_npc.tasks import PERSONA, opened

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each number in figures that the input does not hold."""
    known = given(input, "speaker", "persona", "world", "facts", "player", "history", "state")
    known += "".join(f"\n{s['text']}" for s in input.get("secrets") or () if opened(s, input.get("state") or {}))
    have = set(_NUMBER.findall(known))
    return [
        Finding(message=f"nothing it knows contains {number}", rule="house rule: no made-up figures", excerpt=number)
        for text in spoken_lines(output)
        for number in _NUMBER.findall(text)
        if number not in have
    ]


_TALK: Value = {"speaker": "Mira", "facts": ["the ferry holds 12 people"], "player": "How many fit?"}
numbers_known = Check(
    name="numbers_known",
    title="Only known numbers",
    tasks=(PERSONA,),
    run=run,
    passing=(dict(_TALK), {"text": "12, if none of them is fat."}),
    failing=(dict(_TALK), {"text": "20, if none of them is fat."}),
    description="Each number is in what the character knows.",
)
