"""A secret stays untold until its condition holds.

A secret counts as revealed when a text holds a name or number of it that no earlier line mentions; a third of its own
words, two at least; or most of its own subjects (`concepts.py`), which survive other words. It counts as confirmed when
the player guesses it and the character says yes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import HAN, WORD, given, spoken_lines
from metier_npc.checks.concepts import subjects
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

_STOP_HAN = frozenset(
    "的了是在他她它我你您们这那哪谁什么么一不没有就都也还和与为被把给要会能可到来去说着过得地之而以其中里外上下个人事天年今昨明日自己当从"
    "于用让叫请吧呢吗啊呀哦嗯别再又很太好大小多少出入进回前后左右已经二三四五六七八九十百千万两几次"
)
_TITLES = frozenset(
    "captain lord lady king queen prince princess doctor sir father mother brother sister mister god i".split()  # noqa: SIM905
)


_YES = re.compile(
    r"\s*(?:yes|aye|yeah|yep|right|exactly|correct|indeed|true|guilty|you guessed|you(?:'re| are) right|"
    r"that'?s (?:it|right|him|her)|"
    r"(?:he|she|it|they|i) (?:did|was|is|do|am)[.!,]|clever|not a word to)\b|"
    r"\s*(?:没错|不错，|是的|对，|对。|正是|你猜对|猜对|你猜中|被你猜|是又|就是(?:他|她|我|它|这样)|你都知道|既然你)",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:not|no|never|nobody|don't|didn't|wasn't|isn't|can't|won't)\b|[不没别]", re.IGNORECASE)


class Hidden(NamedTuple):
    """What marks a secret, without what can be stated anyway."""

    words: frozenset[str]
    """Stems, and pairs of Han characters."""
    names: frozenset[str]
    han: frozenset[str]
    """Single Han characters that carry meaning."""
    subjects: frozenset[int]

    def revealed(self, text: str) -> str | None:
        """The words that give the secret away; None where it is kept."""
        hits = self.words & _marks(text)
        if hits & self.names or (hits and (len(hits) >= max(2, len(self.words) // 3) or hits == self.words)):
            return ", ".join(sorted(hits))
        about, signs = self.subjects & subjects(text), self.han & set(text)
        some = len(signs) >= 2 and 3 * (len(signs) + len(about)) >= len(self.han) + len(self.subjects) - 1
        if some or (about and about == self.subjects and not _DENIES.search(text)):
            return ", ".join(sorted(signs or hits)) or text[:40]
        return None

    def touched(self, text: str) -> bool:
        """Whether a text holds anything of it at all."""
        return bool(self.words & _marks(text) or self.subjects & subjects(text))


def hidden(secret: Mapping[str, Any], known: str) -> Hidden:
    """The marks of a secret.

    Args:
        secret: with `text` and `about`.
        known: what can be stated anyway.
    """
    text, open_words = str(secret["text"]), f"{known} {secret.get('about', '')}"
    theirs = _marks(open_words)
    words = {mark for mark in _marks(text) if mark not in theirs}
    names = {m.casefold() for m in re.findall(r"(?<=[\w,;] )[A-Z][a-z]{2,}|\d+", text)} - _TITLES
    return Hidden(
        frozenset(words),
        frozenset(map(_stem, names)),
        frozenset(HAN.findall(text)) - _STOP_HAN - set(open_words),
        frozenset(subjects(text) - subjects(open_words)),
    )


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each locked secret that is given away, or confirmed."""
    state = input.get("state") or {}
    secrets = [s for s in input.get("secrets") or () if isinstance(s, Mapping)]
    known = given(input, "speaker", "persona", "world", "facts", "player", "history", "choices")
    known += "".join(f"\n{s['text']}" for s in secrets if opened(dict(s), state))
    guess = _last_turn(input)
    bare = given(input, "speaker", "persona", "world", "facts")
    texts = list(spoken_lines(output))
    found = []
    for secret in secrets:
        if opened(dict(secret), state):
            continue
        marks, guessed = hidden(secret, known), hidden(secret, bare).touched(guess)
        condition = secret["when"] + (f" >= {secret['at_least']:g}" if secret.get("at_least") is not None else "")
        for text in texts:
            words = marks.revealed(text)
            if not words and guessed:
                words = _yes(text)
            if words:
                message = f"tells about {secret['about']} before {condition} holds"
                found.append(Finding(message=message, rule=RULE, excerpt=words))
    return found


def _yes(text: str) -> str | None:
    """The yes that a text begins with, unless its sentence denies; None without one."""
    yes = _YES.match(text)
    if yes is None:
        return None
    rest = re.split(r"[.!?。！？…]", text[yes.end() : yes.end() + 80], maxsplit=1)[0]
    return None if _DENIES.search(rest) else yes[0].strip()


def _last_turn(input: Mapping[str, Any]) -> str:
    """What the player said last."""
    if isinstance(input.get("player"), str):
        return str(input["player"])
    turns = [t for t in input.get("history") or () if isinstance(t, Mapping)]
    return str(turns[-1].get("text", "")) if turns and turns[-1].get("who") != input.get("speaker") else ""


def content(text: str) -> set[str]:
    """What a text is about: stems of its content words, and single Han characters that carry meaning."""
    words = {mark for mark in _marks(text) if not HAN.search(mark)}
    return words | (set(HAN.findall(text)) - _STOP_HAN)


def hidden_texts(input: Mapping[str, Any]) -> list[str]:
    """Topic and text of each secret, open or not."""
    secrets = [s for s in input.get("secrets") or () if isinstance(s, Mapping)]
    return [f"{s.get('about', '')} {s.get('text', '')}" for s in secrets]


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
