"""Barks must differ from each other, and a character must not repeat itself within one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from pydantic import JsonValue

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import grams, likeness, shared, spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

TWINS = 0.7
"""Jaccard likeness of trigrams from which two lines sound the same: `Who goes there?` and `Who's there?` are at 0.5."""
ECHO = 0.9
"""Likeness from which a line only gives back the player's words; `You dropped. The plate.` is an answer."""
_AT_LENGTH = 12
"""Different trigrams from which a text is more than a greeting or a shout, which one gives back."""
RULE = "house rule: variety"


class Variety(NamedTuple):
    """How varied many answers to one input are, each 0 to 1."""

    distinct: float
    """Share of answers that are no near-twin of an earlier one."""
    distinct_2: float
    """Different word pairs over all word pairs (distinct-2, arXiv 1510.03055); pairs of characters in Chinese."""


def variety_of(lines: Sequence[str]) -> Variety:
    """Variety over many calls; one line, or none, counts as fully varied."""
    kept: list[str] = []
    for line in lines:
        if all(likeness(line, other) < TWINS for other in kept):
            kept.append(line)
    pairs = [pair for line in lines for pair in _pairs(line)]
    return Variety(len(kept) / len(lines) if lines else 1.0, len(set(pairs)) / len(pairs) if pairs else 1.0)


def _pairs(line: str) -> list[tuple[str, str]]:
    units = line.casefold().split() if line.isascii() or " " in line.strip() else [c for c in line if c.isalnum()]
    return list(pairwise(units))


def among_barks(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for a wrong number of variants, twins among them, and barks that were to be avoided."""
    variants = list(spoken_lines(output))
    found = []
    if len(variants) != (wanted := input.get("count", 3)):
        found.append(Finding(message=f"{len(variants)} variants where {wanted} were requested", rule=RULE))
    for one, other in combinations(variants, 2):
        if likeness(one, other) >= TWINS:
            found.append(Finding(message=f"two variants sound the same: {one!r}", rule=RULE, excerpt=other))
    for recent in input.get("avoid") or ():
        found += [
            Finding(message=f"used recently: {recent!r}", rule=RULE, excerpt=v)
            for v in variants
            if likeness(v, recent) >= TWINS
        ]
    return found


def within_talk(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """A finding where the character repeats what it said before, or only gives back what the player says now."""
    me = input.get("speaker")
    turns = [t for t in input.get("history") or () if isinstance(t, Mapping)]
    limits = [(str(t.get("text", "")), TWINS) for t in turns if t.get("who") == me]
    player = [str(t.get("text", "")) for t in turns[-1:] if t.get("who") != me] + [str(input.get("player") or "")]
    limits += [(text, ECHO) for text in player if len(grams(text)) >= _AT_LENGTH]
    texts = [(text, grams(text)) for text in spoken_lines(output)]
    return [
        Finding(message=f"repeats: {old!r}", rule=RULE, excerpt=text)
        for old, signs, least in ((old, grams(old), least) for old, least in limits)
        for text, own in texts
        if shared(own, signs) >= least
    ]


_BRIEF: Value = {"speaker": "Guard", "situation": "hears a noise", "count": 2, "avoid": ["Who goes there?"]}
bark_variety = Check(
    name="bark_variety",
    title="Variants differ",
    tasks=(BARK,),
    run=among_barks,
    passing=(dict(_BRIEF), {"variants": ["Something moved.", "Rats. It had better be rats."]}),
    failing=(dict(_BRIEF), {"variants": ["Something moved!", "Something moved..."]}),
    description="The requested number of variants, none like another or like a recent one.",
)
_PAST: list[JsonValue] = [{"who": "Mira", "text": "The rope won't wait."}, {"who": "Player", "text": "Please."}]
fresh = Check(
    name="fresh",
    title="No repeated line",
    tasks=(LINE,),
    run=within_talk,
    passing=(
        {"speaker": "Mira", "history": list(_PAST)},
        {"line": "Get in, then.", "emotion": "neutral", "action": "none", "remember": []},
    ),
    failing=(
        {"speaker": "Mira", "history": list(_PAST)},
        {"line": "The rope won't wait!", "emotion": "neutral", "action": "none", "remember": []},
    ),
    description="Does not repeat its own earlier line.",
)
persona_fresh = Check(
    name="persona_fresh",
    title="No repeated answer",
    tasks=(PERSONA,),
    run=within_talk,
    passing=({"speaker": "Mira", "history": list(_PAST), "player": "Well?"}, {"text": "Get in, then."}),
    failing=({"speaker": "Mira", "history": list(_PAST), "player": "Well?"}, {"text": "The rope won't wait."}),
    description="Does not repeat its own earlier answer.",
)
