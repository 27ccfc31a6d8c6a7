"""In a conversation a character neither denies what it knows nor speaks of people whom nobody there knows.

Only where words show it: a clause that shares most of a fact's words, but not its `not`; a name with a capital that
stands nowhere in the input.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import HAN, given, spoken_lines
from metier_npc.checks.secrets import content, hidden_texts
from metier_npc.tasks import PERSONA, opened

RULE = "house rule: what the character knows"
_CLAUSES = re.compile(r"[.;!?。！？；…\n,，]+")
_NOT = re.compile(
    r"\b(?:not|no|never|nobody|none|nothing|neither|without|cannot|hardly)\b|n['’]t\b|"
    r"[不没未无非莫勿别](?!过|错|如|妨|管|仅|但)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}")
_COMMON = frozenset(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december god lord lady heaven hell christmas easter english french latin sir madam mister
    miss mother father captain doctor grandma grandpa earth moon mars""".split()  # noqa: SIM905
)


class _Facts:
    """Clauses of facts by the words they hold, so that a clause of an answer meets only those that share some."""

    def __init__(self, facts: Sequence[str], speaker: str) -> None:
        self.clauses = [clause.strip() for fact in facts for clause in _CLAUSES.split(fact) if clause.strip()]
        own = content(speaker)
        self.signs = [content(_NOT.sub(" ", clause)) - own for clause in self.clauses]
        self.by_word: dict[str, list[int]] = defaultdict(list)
        for n, signs in enumerate(self.signs):
            for sign in signs:
                self.by_word[sign].append(n)

    def denied_by(self, clause: str) -> str | None:
        """The fact that a clause turns round, or None."""
        words = content(clause)
        common = Counter(n for word in words for n in self.by_word.get(word, ())[:_MOST])
        least = 3 if HAN.search(clause) else 2
        for n, count in common.items():
            turned = bool(_NOT.search(clause)) != bool(_NOT.search(self.clauses[n]))
            if turned and count >= least and 5 * count >= 3 * len(self.signs[n]):
                return self.clauses[n]
        return None


_MOST = 20
"""Facts that one word is held against."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each fact that is denied, and for each name that the input does not hold."""
    return list(_findings(input, output))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    state = input.get("state") or {}
    facts = [str(f) for f in input.get("facts") or ()]
    facts += [str(s["text"]) for s in input.get("secrets") or () if isinstance(s, Mapping) and opened(dict(s), state)]
    index = _Facts(facts, str(input.get("speaker") or ""))
    known = given(input, "speaker", "persona", "world", "state", "facts", "player", "history", "situation")
    names = set(re.findall(r"[a-z]+", f"{known}\n{' '.join(hidden_texts(input))}".casefold())) | _COMMON
    for text in spoken_lines(output):
        for clause in _CLAUSES.split(text):
            if fact := index.denied_by(clause):
                yield Finding(message=f"{clause.strip()!r} against {fact!r}", rule=RULE, excerpt=clause.strip()[:60])
        for name in dict.fromkeys(m[0] for m in _NAME.finditer(text)):
            if not {name.casefold(), name.casefold().rstrip("s"), f"{name.casefold()}s"} & names:
                yield Finding(message=f"nobody there knows {name}", rule=RULE, excerpt=name)
                break


_TALK: Value = {"speaker": "Lumi", "facts": ["Lumi has never seen a flower."], "player": "Do you like them?"}
as_known = Check(
    name="as_known",
    title="As it knows",
    tasks=(PERSONA,),
    run=run,
    passing=(dict(_TALK), {"text": "I've never seen a flower."}),
    failing=(dict(_TALK), {"text": "I have seen a flower with Tomas."}),
    description="Denies no fact, and names nobody from elsewhere.",
)
