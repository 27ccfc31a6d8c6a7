"""Conditions beside a number: over, up to, before, 满, 以内, and whether a text keeps those of the brief.

A condition belongs to its number: `free over £50` and `£50` are two facts. It does not know rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from metier.wording.words import NUMBER, number, parted

AT_LEAST, AT_MOST, UNDER, BEFORE, AFTER, FROM = "at least", "at most", "under", "before", "after", "from"
_AHEAD_SPAN, _BEHIND_SPAN = 28, 18
_GAP = r"[\s:]*(?:a |an |the |of |is |are |£|\$|€|¥|us\$|\()*\s*$"
_HAN_GAP = r"[\s:为是]*$"


def _either(english: str, chinese: str, gap: str = _GAP) -> str:
    return rf"\b(?:{english}){gap}|(?:{chinese}){_HAN_GAP}"


_AHEAD: tuple[tuple[str, re.Pattern[str]], ...] = (
    (AT_MOST, re.compile(
        _either("(?:no|not) (?:more|longer|over|later) than", "(?:不|别|勿|莫)(?:超过|超|高于|多于|大于|满)")
    )),
    (AT_LEAST, re.compile(_either("(?:no|not) (?:less|fewer|under|below) than", "不(?:低于|少于|小于)"))),
    (AT_MOST, re.compile(
        _either(
            r"up to|at most|max(?:imum)?(?: \w+)?|within|limit(?:ed to)?|as (?:many|much) as",
            "最多|至多|上限|最高|最大",
        )
    )),
    (UNDER, re.compile(
        _either("under|below|(?:less|fewer|cheaper|lower) than", "不到|低于|小于|少于|不足|不满")
    )),
    (AT_LEAST, re.compile(
        _either(
            r"over|above|(?:more|greater|higher) than|exceeding|at least|min(?:imum)?(?: \w+)?|upwards of|not under",
            "满|超过|高于|大于|多于|至少|最少|最低|起价|起步价|起[订租收售送批]|下限",
        )
    )),
    (AT_LEAST, re.compile(
        r"\b(?:from|spend|orders? (?:of|from)|starting (?:at|from)|starts? at)[\s:]*(?:a |an )?[£$€¥]\s?$"
    )),
    (BEFORE, re.compile(_either("before|by|until|prior to", "提前(?:至少)?"))),
    (AFTER, re.compile(rf"\b(?:after|past|since){_GAP}")),
)  # fmt: skip
_FROM = re.compile(r"\bfrom[\s:]*$")
_TO, _CLOCK = re.compile(r"\bto\s*$"), re.compile(r"\s?[ap]\.?m\b")
_FROM_OF_TIME = re.compile(r"\s?(?:am|pm|a\.m|p\.m|hours?|months?|years?|days?|nights?|weeks?)\b")
_FOR_A_WHILE = re.compile(r"\s?(?:-\s?)?(?:hour|minute|day|week|month|year|evening|session|lesson|course)s?\b")
_UNIT = r"(?:\s?[a-z%°℃]{1,8}\b|\s?[㐀-鿿]{1,3}?)?"
_BEHIND: tuple[tuple[str, re.Pattern[str]], ...] = (
    (AT_LEAST, re.compile(
        rf"{_UNIT}(?:\s?\+|,? (?:or|and) (?:more|over|above|up|older|longer|bigger)\b(?!\s?[£$€¥]?\d)|"
        r"\s(?:plus|minimum|upwards)\b|(?:及|或|含)?以上|(?<!一)起(?![床来点飞])|(?<=[元块岁])多)"
    )),
    (AT_MOST, re.compile(
        rf"{_UNIT}(?:\s(?:maximum|max|tops)\b|(?:及|或)?(?:以内|之内)|内(?![胆衬容置袋存饰]|外(?![送卖]))|封顶)"
    )),
    (UNDER, re.compile(
        rf"{_UNIT}(?:,? (?:or|and) (?:less|under|below|fewer|younger)\b(?!\s?[£$€¥]?\d)|(?:及|或|含)?以下)"
    )),
    (BEFORE, re.compile(
        rf"{_UNIT}(?:\s(?:ahead|before|in advance|beforehand|prior)\b(?! \d)|之前|以前|前(?![后脚台]))"
    )),
    (AFTER, re.compile(rf"{_UNIT}(?:\s(?:later|after)\b(?! that| \d)|之后|以后|后(?![背脚台]))")),
)  # fmt: skip
_RANGE_AHEAD = re.compile(r"\d[^\d,.;，。；]{0,8}?(?:-|~|到|至| to | and )[£$€¥]?\s?$")
_RANGE_BEHIND = re.compile(r"[^\d,.;，。；]{0,8}?(?:-|~|到|至| to )[£$€¥]?\s?\d")
_BREAK = re.compile(r"[.!?;。！？；，,、\n](?!\d)")

WORDS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(given), re.compile(kept))
    for given, kept in (
        (
            r"\bonly\b|仅限|仅|只限|只(?=[在限能对供卖])",
            r"\b(?:only|just|solely|exclusively|but not|nothing but)\b|[仅只限]",
        ),
        (r"\bunless\b|\bexcept\b|除非|除外", r"\b(?:unless|except|apart from|not)\b|除|不"),
        (r"\bpermitting\b|\bdepending\b", r"\b(?:permitting|depend\w*|allow\w*|weather)\b"),
        (r"\bby appointment\b|需预约", r"\b(?:appointment|book\w*)\b|预约"),
        (r"\bon request\b", r"\b(?:on request|ask)\b"),
    )
)
"""What makes a fact hold in one case only, as briefs write it and as copy may keep it."""


class Bound(NamedTuple):
    """A number, what bounds it (None where nothing does), and where it stands."""

    number: str
    relation: str | None
    excerpt: str


def bounds(text: str) -> Iterator[Bound]:
    """Each number in digits of a text with the condition beside it; both ends of a range have none.

    Looks at most 28 characters ahead of a number and 18 behind it, so that the work is linear in the text.
    """
    plain = parted(text)
    for match in NUMBER.finditer(plain):
        ahead = plain[max(0, match.start() - _AHEAD_SPAN) : match.start()]
        behind = plain[match.end() : match.end() + _BEHIND_SPAN]
        clause = ahead[max((m.end() for m in _BREAK.finditer(ahead)), default=0) :]
        yield Bound(number(match[0]), _relation(ahead, clause, behind), (clause + match[0] + behind[:10]).strip())


def _relation(ahead: str, clause: str, behind: str) -> str | None:
    if _RANGE_AHEAD.search(ahead) or _RANGE_BEHIND.match(behind):
        return None
    for relation, pattern in _AHEAD:
        if found := pattern.search(clause):
            # `over 6 weeks` is how long it takes.
            return None if found[0].startswith("over") and _FOR_A_WHILE.match(behind) else relation
    if _FROM.search(clause) and _FROM_OF_TIME.match(behind):
        return FROM
    if _TO.search(clause) and _CLOCK.match(behind):
        return BEFORE
    return next((relation for relation, pattern in _BEHIND if pattern.match(behind)), None)


def agree(one: str | None, other: str | None) -> bool:
    """Whether two bounds say the same, as `under` and `at most` do for copy, or `from` and `at least`."""
    return one == other or {one, other} in ({UNDER, AT_MOST}, {FROM, AT_LEAST}, {FROM, AFTER})
