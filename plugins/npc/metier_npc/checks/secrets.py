"""A secret stays untold until its condition holds.

A secret counts as revealed when a text holds a name or number of it that no earlier line mentions, or a third of its
own words, two at least. Words, not meaning: a paraphrase that shares nothing with the secret passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import HAN, WORD, given, spoken_lines
from metier_npc.tasks import LINE, PERSONA, opened

RULE = "the secret's own condition"
_STOP = frozenset(
    [
        "about", "after", "all", "and", "any", "are", "because", "been", "before", "being", "but", "can", "could",
        "did", "does", "done", "for", "from", "get", "got", "had", "has", "have", "her", "here", "him", "his", "how",
        "into", "its", "just", "let", "made", "make", "not", "off", "one", "only", "our", "out", "over", "own", "said",
        "says", "she", "than", "that", "the", "their", "them", "then", "there", "they", "this", "too", "under", "very",
        "was", "were", "what", "when", "where", "who", "whom", "why", "will", "with", "would", "you", "your",
    ]
)  # fmt: skip

_TITLES = frozenset(
    "captain lord lady king queen prince princess doctor sir father mother brother sister mister god i".split()  # noqa: SIM905
)


def revealed_words(secret: Mapping[str, Any], text: str, known: str) -> str | None:
    """The words that give a secret away; None where it is kept.

    Args:
        secret: with `text` and `about`.
        text: the spoken text.
        known: what can be stated anyway.
    """
    mine, theirs = _marks(f"{secret['text']}"), _marks(f"{known} {secret.get('about', '')}")
    own = {mark for mark in mine if mark not in theirs}
    marks = _marks(text)
    hits = own & marks
    names = {m.casefold() for m in re.findall(r"(?<=[\w,;] )[A-Z][a-z]{2,}|\d+", str(secret["text"]))} - _TITLES
    if not hits:
        return None
    if any(_stem(name) in hits for name in names) or len(hits) >= max(2, len(own) // 3) or hits == own:
        return ", ".join(sorted(hits))
    return None


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each locked secret that is given away."""
    state = input.get("state") or {}
    known = given(input, "speaker", "persona", "world", "facts", "player", "history", "choices")
    found = []
    for secret in input.get("secrets") or ():
        if opened(secret, state):
            known += "\n" + secret["text"]
    for secret in input.get("secrets") or ():
        if opened(secret, state):
            continue
        for text in spoken_lines(output):
            if words := revealed_words(secret, text, known):
                condition = secret["when"] + (
                    f" >= {secret['at_least']:g}" if secret.get("at_least") is not None else ""
                )
                found.append(
                    Finding(message=f"tells about {secret['about']} before {condition} holds", rule=RULE, excerpt=words)
                )
    return found


def _stem(word: str) -> str:
    word = re.sub(r"['’]s?$", "", word.casefold())
    return re.sub(r"(?:ing|ed|es|s)$", "", word) if len(word) > 4 else word


def _marks(text: str) -> set[str]:
    """What identifies a text: stems of its content words, and pairs of Han characters."""
    words = {_stem(w) for w in WORD.findall(text) if not HAN.search(w) and (len(w) > 2 or w.isdigit())} - _STOP
    han = re.findall(r"[\u3400-\u9fff]+", text)
    return words | {run[i : i + 2] for run in han for i in range(len(run) - 1)}


_SECRET: Value = {"about": "the wreck", "text": "Mira cut the rope for Brant's gold", "when": "trust", "at_least": 3}
_SCENE: Value = {"speaker": "Mira", "secrets": [_SECRET], "state": {"trust": 1}}
_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
keeps_secrets = Check(
    name="keeps_secrets",
    title="Keeps secrets",
    tasks=(LINE,),
    run=run,
    passing=(dict(_SCENE), {"line": "The wreck? Boats sink.", **_REST}),
    failing=(dict(_SCENE), {"line": "I cut the rope. Gold is gold.", **_REST}),
    description="No secret is revealed before its condition holds.",
)
_TALK: Value = {**_SCENE, "player": "Why did it sink?"}
persona_keeps_secrets = Check(
    name="persona_keeps_secrets",
    title="Keeps secrets",
    tasks=(PERSONA,),
    run=run,
    passing=(dict(_TALK), {"text": "Water got in. It does that."}),
    failing=(dict(_TALK), {"text": "Ask Brant what he paid me."}),
    description="No secret is revealed before its condition holds.",
)
