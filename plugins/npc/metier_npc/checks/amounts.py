"""Amounts in a text, in figures and in words, English and Chinese: 14 hours, nineteen graves, 十二座."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

_ONES = {
    w: n
    for n, w in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen""".split()  # noqa: SIM905
    )
}
_TENS = {
    w: 10 * n
    for n, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)  # noqa: SIM905
}
_HAN_DIGIT = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_UNIT = {"十": 10, "百": 100, "千": 1000}
_WORD = "|".join((*_TENS, *sorted(_ONES, key=len, reverse=True)))
_AMOUNT = re.compile(
    rf"(?P<figures>\d+(?:[.,]\d+)*)|\b(?P<words>(?:{_WORD})(?:[- ](?:{_WORD}))?(?: hundred| thousand)?)\b|"
    r"(?P<han>[零〇一二两三四五六七八九十百千万]+)",
    re.IGNORECASE,
)
_AFTER = re.compile(r"[\s-]{0,2}([A-Za-z]+)|\s?([\u3400-\u9fff]{1,2})")
_NO_KEY = frozenset(
    """a an and are as at but by can did do does for from had has have he her his i if in is it its like me more my no
    not of on one or our out over she so than that the their them then they this times to too up us was we were what
    when will with you your left""".split()  # noqa: SIM905
)
_NO_HAN_KEY = "个次下样分的是不了点人声句把手口"
_UNITS = (
    ("second", "minute", "hour", "day", "night", "week", "month", "year", "century"),
    ("秒", "分钟", "小时", "时辰", "天", "日", "夜", "周", "月", "年"),
    ("inch", "foot", "feet", "yard", "mile", "metre", "meter", "kilometre", "kilometer", "league"),
    ("寸", "尺", "丈", "米", "里", "公里", "千米", "步"),
    ("copper", "silver", "gold", "penny", "pence", "shilling", "guinea", "pound", "dollar", "crown"),
    ("文", "钱", "两", "块", "元", "铜板", "大洋", "毛"),
)
_KIND = {word: kind for kind, words in enumerate(_UNITS) for word in words}


class Amount(NamedTuple):
    """A number and what it counts."""

    value: float
    key: str
    """The word behind the number, singular; the two Han characters behind it; empty where none counts."""
    kind: int | None
    """Which kind of unit the key is, where it is one: time, length, money."""
    text: str


def amounts(text: str) -> list[Amount]:
    """All amounts of a text, in order."""
    return list(_found(text))


def _found(text: str) -> Iterator[Amount]:
    for match in _AMOUNT.finditer(text):
        value = _value(match)
        if value is None:
            continue
        after = _AFTER.match(text, match.end())
        word, han = (after[1] or "", after[2] or "") if after else ("", "")
        key = _singular(word.casefold()) if word else han if han in _KIND or han[:1] not in _KIND else han[:1]
        if key in _NO_KEY or (han and han[0] in _NO_HAN_KEY):
            key = ""
        kind = _KIND.get(key)
        yield Amount(value, key, kind, f"{match[0]}{after[0] if after and key else ''}".strip())


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _value(match: re.Match[str]) -> float | None:
    if figures := match["figures"]:
        return float(re.sub(r",(?=\d{3}\b)", "", figures).split(",")[0].split(".")[0]) if len(figures) < 16 else None
    if words := match["words"]:
        parts = re.split(r"[- ]", words.casefold())
        scale = {"hundred": 100, "thousand": 1000}.get(parts[-1], 1)
        return float(sum(_TENS.get(p, _ONES.get(p, 0)) for p in parts)) * scale
    return _han_value(match["han"])


def _han_value(text: str) -> float | None:
    if len(text) > 12 or text in ("一", "千", "百", "万", "十", "千万", "百千"):
        return None
    total, section, digit = 0, 0, 0
    for c in text[:-1] + text[-1:].strip("两" if len(text) > 1 else ""):  # 两千两: the last one is the unit
        if c in _HAN_DIGIT:
            digit = _HAN_DIGIT[c]
        elif c == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        else:
            section, digit = section + (digit or 1) * _HAN_UNIT[c], 0
    return float(total + section + digit)


class Ledger:
    """What amounts a text states, to hold others against."""

    def __init__(self, text: str) -> None:
        self.by_key: dict[str, set[float]] = defaultdict(set)
        self.by_value: dict[float, set[str]] = defaultdict(set)
        self.kinds: dict[float, set[int]] = defaultdict(set)
        for amount in amounts(text):
            self.by_value[amount.value].add(amount.key)
            if amount.key:
                self.by_key[amount.key].add(amount.value)
            if amount.kind is not None:
                self.kinds[amount.value].add(amount.kind)

    def contradicts(self, amount: Amount) -> str | None:
        """What the ledger has instead of an amount: another number of the same thing, another unit; None otherwise."""
        if not amount.key:
            return None
        stated = self.by_key.get(amount.key)
        spans = amount.kind in (0, 1)  # of times a speaker has many
        if stated and not spans and amount.value not in stated and amount.value not in self.by_value:
            return f"{', '.join(f'{v:g}' for v in sorted(stated)[:3])} {amount.key}"
        other_unit = amount.kind is not None and amount.kind in self.kinds.get(amount.value, ())
        if other_unit and amount.key not in self.by_value[amount.value]:
            return f"{amount.value:g} {', '.join(sorted(self.by_value[amount.value])[:3])}"
        return None
