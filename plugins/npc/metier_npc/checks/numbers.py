"""A character does not make up figures, nor change what it knows: another number of the same thing, or another unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.amounts import Ledger, amounts
from metier_npc.checks.answer import given, spoken_lines
from metier_npc.tasks import LINE, PERSONA, opened

RULE = "house rule: no made-up figures"
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_KNOWN = ("speaker", "persona", "world", "facts", "player", "history", "state", "choices", "when", "tags")
_HOW_MANY = re.compile(
    r"\bhow (?:many|much|long|old|far|deep)\b|\bwhat (?:do|does|did) \w+ owe\b|"
    r"多少|几(?:[个位天年次点株只条支枚块斤]|时)|多久|多远|多大",
    re.IGNORECASE,
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each figure that the input does not hold, and for each amount that contradicts it."""
    state = input.get("state") or {}
    known = given(input, *_KNOWN)
    known += "".join(f"\n{s['text']}" for s in input.get("secrets") or () if opened(s, state))
    have, ledger = set(_NUMBER.findall(known)), Ledger(known)
    texts = list(spoken_lines(output))
    found = [
        Finding(message=f"nothing it knows contains {number}", rule=RULE, excerpt=number)
        for text in texts
        for number in _NUMBER.findall(text)
        if number not in have
    ]
    for text in texts:
        for amount in amounts(text):
            if stated := ledger.contradicts(amount):
                message = f"{amount.text} where the input has {stated}"
                found.append(Finding(message=message, rule=RULE, excerpt=amount.text))
        found += _besides(input, text, ledger)
    return found


def _besides(input: Mapping[str, Any], text: str, ledger: Ledger) -> Iterator[Finding]:
    """A finding where the player asks how many, the state holds numbers, and the answer gives others."""
    turns = input.get("history") or ()
    question = input.get("player") or (turns[-1].get("text") if turns and isinstance(turns[-1], Mapping) else "")
    if not _HOW_MANY.search(str(question)):
        return
    gates = {secret.get("when") for secret in input.get("secrets") or ()}
    state = input.get("state") or {}
    held = amounts("\n".join(f"{k} {v}" for k, v in state.items() if k not in gates))
    given_now = amounts(text)
    # Tenths are a way to say per cent: 两成.
    same = any(a.value in ledger.by_value or 10 * a.value in ledger.by_value for a in given_now)
    if held and given_now and not same:
        yield Finding(
            message=f"{given_now[0].text} where the state has {held[0].text}", rule=RULE, excerpt=given_now[0].text
        )


_STATE: Value = {"speaker": "Mira", "state": {"seats": 12}, "history": [{"who": "Player", "text": "How many fit?"}]}
_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
numbers_known = Check(
    name="numbers_known",
    title="Only known numbers",
    tasks=(LINE,),
    run=run,
    passing=(dict(_STATE), {"line": "Twelve, if none of them is fat.", **_REST}),
    failing=(dict(_STATE), {"line": "Twenty, if none of them is fat.", **_REST}),
    description="Each figure, and each amount the state gives, is as the character knows it.",
)
_TALK: Value = {"speaker": "Mira", "facts": ["the ferry holds 12 people"], "player": "How many fit?"}
persona_numbers_known = Check(
    name="persona_numbers_known",
    title="Only known numbers",
    tasks=(PERSONA,),
    run=run,
    passing=(dict(_TALK), {"text": "12, if none of them is fat."}),
    failing=(dict(_TALK), {"text": "20, if none of them is fat."}),
    description="Each figure is in what the character knows, and no amount contradicts it.",
)
