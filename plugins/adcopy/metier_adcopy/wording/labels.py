"""What a number counts or measures, by the word beside it: `small dogs £28`, `6 rooms`, 平日320元.

It does not know rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metier.wording.words import HAN, NUMBER, STOPWORDS, number, parted, stem
from metier_adcopy.facts import Fact

_HAN_AHEAD = re.compile(rf"({HAN.pattern}{{2,6}})[¥￥]?$")
_LINK = re.compile(
    r"\b(?:is|are|at|for|costs?|from|of|only|just|takes?|up to|over|under|a|an|the|about|to)\b|[£$€¥:\-]"
)
_WORD = re.compile(r"[a-z]+")
_BREAK = re.compile(r"[.!?;。！？；,、\n()](?!\d)")
_MONEY_AHEAD, _MONEY_BEHIND = re.compile(r"[£$€¥]\s?$"), re.compile(r"\s?(?:[元块£$€¥]|pounds?\b|dollars?\b|euros?\b)")
_NEXT = re.compile(r"\s([a-z]{3,})")


class Labelled(NamedTuple):
    """A number with the words that label it, nearest first."""

    number: str
    ahead: str
    behind: str
    money: bool
    excerpt: str


def labelled(text: str) -> Iterator[Labelled]:
    """Numbers of a text with what stands right before and right behind them; linear in the text."""
    plain = parted(text)
    for match in NUMBER.finditer(plain):
        ahead = plain[max(0, match.start() - 32) : match.start()]
        ahead = ahead[max((m.end() for m in _BREAK.finditer(ahead)), default=0) :]
        behind = _NEXT.match(plain, match.end(), match.end() + 24)
        if han := _HAN_AHEAD.search(ahead):
            label = han[1]
        else:
            label = " ".join(stem(w) for w in _WORD.findall(_LINK.sub(" ", ahead))[-2:])
        money = bool(_MONEY_AHEAD.search(ahead) or _MONEY_BEHIND.match(plain, match.end()))
        yield Labelled(number(match[0]), label, stem(behind[1]) if behind else "", money, (ahead + match[0]).strip())


_RANGE = re.compile(
    r"(?P<start>[a-z]{3,20}|\d+(?:\.\d+)?)[a-z%°℃]{0,4}\s?(?:-|~|to\b|至|到)\s?(?P<end>[a-z]{3,20}|\d+(?:\.\d+)?)"
)


def ranges(text: str) -> Iterator[tuple[str, str]]:
    """Both ends of `7 to 11`, `March-May`, 105到125, as they are written."""
    for match in _RANGE.finditer(parted(text)):
        yield match["start"], match["end"]


class Labels:
    """Which numbers the facts of a brief put beside which word; amounts of money apart from other numbers."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.ahead: dict[tuple[str, bool], set[str]] = {}
        self.behind: dict[tuple[str, bool], set[str]] = {}
        for fact in facts:
            key = " ".join(stem(w) for w in _WORD.findall(parted(fact.key))) or parted(fact.key).strip()
            for n, found in enumerate(labelled(fact.value)):
                own = found.ahead if HAN.search(found.ahead) else ""
                label = own or key
                if len(label) >= (2 if HAN.search(label) else 3) and (own or n == 0 or not HAN.search(key)):
                    self.ahead.setdefault((label, found.money), set()).add(found.number)
                if " " not in key and not HAN.search(key) and len(key) > 2 and key not in STOPWORDS:
                    self.behind.setdefault((key, found.money), set()).add(found.number)
                if found.behind:
                    self.behind.setdefault((found.behind, found.money), set()).add(found.number)
        self._longest = max((len(label) for label, _ in self.ahead), default=0)

    def given(self, found: Labelled) -> set[str] | None:
        """Numbers that the brief puts beside this label, or None where it does not know the label."""
        if HAN.search(found.ahead):
            for size in range(min(len(found.ahead), self._longest), 1, -1):
                if (known := self.ahead.get((found.ahead[-size:], found.money))) is not None:
                    return known
        elif known := self.ahead.get((found.ahead, found.money)):
            return known
        return self.behind.get((found.behind, found.money)) if found.behind else None
