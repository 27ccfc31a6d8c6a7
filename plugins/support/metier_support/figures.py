"""Amounts, percentages, dates, spans of time and other numbers of a text, in one spelling each, so that `£6.95` is not
`$6.95`, `30 days` is not `30 working days`, and `3 May` is `May 3rd`. English and Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_CURRENCY = {
    "£": "GBP", "gbp": "GBP", "pounds": "GBP", "pound": "GBP", "quid": "GBP",
    "$": "USD", "us$": "USD", "usd": "USD", "dollars": "USD", "dollar": "USD", "bucks": "USD",
    "€": "EUR", "eur": "EUR", "euros": "EUR", "euro": "EUR",
    "¥": "CNY", "cny": "CNY", "rmb": "CNY", "元": "CNY", "块": "CNY", "圆": "CNY",
}  # fmt: skip
_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORDS = {word: n for n, word in enumerate(_ONES)} | {
    "fourteen": 14, "fifteen": 15, "twenty": 20, "twenty-one": 21, "twenty-four": 24, "thirty": 30, "forty-five": 45,
    "forty-eight": 48, "sixty": 60, "ninety": 90, "a": 1, "an": 1, "hundred": 100,
}  # fmt: skip
_HAN = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2}
_UNITS = {
    "working day": "working day", "business day": "working day", "工作日": "working day", "个工作日": "working day",
    "day": "day", "天": "day", "日": "day", "hour": "hour", "hr": "hour", "小时": "hour", "个小时": "hour",
    "minute": "minute", "min": "minute", "分钟": "minute", "week": "week", "周": "week", "星期": "week",
    "个星期": "week", "month": "month", "个月": "month", "year": "year", "年": "year",
}  # fmt: skip
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.]\d+)?"
_SPELT = "|".join(sorted(_WORDS, key=len, reverse=True))
_UNIT = (
    r"(?:(?:working|business)[\s-]days?\b|days?\b|hours?\b|hrs?\b|minutes?\b|mins?\b|weeks?\b|months?\b|years?\b"
    r"|个?工作日|天|日|个?小时|分钟|个?星期|周|个月|年)"
)
_FORMS = re.compile(
    r"(?P<iso>\b(?P<iy>\d{4})[-/.](?P<im>\d{1,2})[-/.](?P<id>\d{1,2})\b)"
    r"|(?P<slash>\b(?P<sa>\d{1,2})/(?P<sb>\d{1,2})/(?:\d{4}|\d{2})\b)"
    rf"|(?P<range>(?P<ra>\d{{1,3}})\s?(?:-|–|~|to|至|到)\s?(?P<rb>\d{{1,3}})[\s-]?(?P<ru>{_UNIT}))"
    r"|(?P<handate>(?:(?P<hy>\d{4})年)?(?P<hm>\d{1,2})月(?P<hd>\d{1,2})[日号])"
    rf"|(?P<daymonth>\b(?P<dd>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH.format('dm')}(?:,? (?P<dy>\d{{4}}))?)"
    rf"|(?P<monthday>\b{_MONTH.format('mm')} (?P<md>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\s*(?:%|days?|hours?))"
    r"(?:,? (?P<my>\d{4}))?)"
    r"|(?P<weekday>\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:today|tomorrow|tonight)\b"
    r"|今天|明天|今晚|后天|(?:周|星期)[一二三四五六日天])"
    rf"|(?P<percent>(?P<pn>{_NUMBER})\s?(?:%|percent\b|per cent\b))|(?P<zhe>(?P<zn>[\d.]+)折)"
    rf"|(?P<before>us\$|[£$€¥]|\b(?:gbp|usd|eur|cny|rmb)\s?)\s?(?P<bn>{_NUMBER})"
    rf"|(?P<an>{_NUMBER})\s?(?P<after>pounds?\b|quid\b|dollars?\b|bucks\b|euros?\b|(?:gbp|usd|eur|cny|rmb)\b|[£€元块圆])"
    rf"|(?P<clock>\b\d{{1,2}}(?:[:.]\d{{2}})?\s?(?:am|pm)\b|\b\d{{1,2}}:\d{{2}}\b)"
    rf"|(?:(?P<sn>{_NUMBER})|\b(?P<sw>{_SPELT})\b|(?P<sh>[零一二两三四五六七八九十百]{{1,6}}))[\s-]?"
    rf"(?P<unit>{_UNIT})"
    rf"|(?P<code>(?<![a-z\d-])#?(?=[a-z\d-]{{0,40}}\d)[a-z\d]{{1,40}}(?:-[a-z\d]{{1,40}}){{0,6}}(?:\.\d+)?(?![a-z\d])|{_NUMBER})"
)


class Figure(NamedTuple):
    """One figure: its kind, its value in one spelling, and the words it was read from."""

    kind: str
    """amount, percent, date, day (a relative day or weekday), clock, span or number."""
    value: str
    excerpt: str


def figures(text: str) -> list[Figure]:
    """Figures of a text in its order."""
    return list(_read(unicodedata.normalize("NFKC", text).lower()))


def _read(plain: str) -> Iterator[Figure]:
    currency = ""
    for m in _FORMS.finditer(plain):
        matched = m[0].strip()
        if m["iso"]:
            yield Figure("date", f"{int(m['im'])}-{int(m['id'])}", matched)
        elif m["slash"]:
            # Day first, as most of the world writes it, unless that cannot be.
            day, month = (int(m["sb"]), int(m["sa"])) if int(m["sb"]) > 12 else (int(m["sa"]), int(m["sb"]))
            yield Figure("date", f"{month}-{day}", matched)
        elif m["range"]:
            yield Figure("span", f"{m['ra']} {_unit(m['ru'])}", matched)
            yield Figure("span", f"{m['rb']} {_unit(m['ru'])}", matched)
        elif m["handate"]:
            yield Figure("date", f"{int(m['hm'])}-{int(m['hd'])}", matched)
        elif m["daymonth"]:
            yield Figure("date", f"{_month(m['dm'])}-{int(m['dd'])}", matched)
        elif m["monthday"]:
            yield Figure("date", f"{_month(m['mm'])}-{int(m['md'])}", matched)
        elif m["weekday"]:
            yield Figure("day", _day(matched), matched)
        elif m["percent"]:
            yield Figure("percent", number(m["pn"]), matched)
        elif m["zhe"]:
            yield Figure("percent", f"{m['zn']}折", matched)
        elif m["bn"]:
            currency = _CURRENCY[m["before"].strip()]
            yield Figure("amount", f"{number(m['bn'])} {currency}", matched)
        elif m["an"]:
            yield Figure("amount", f"{number(m['an'])} {_CURRENCY[m['after']]}", matched)
        elif m["clock"]:
            yield Figure("clock", _clock(matched), matched)
        elif m["unit"]:
            if m["sw"] in {"a", "an"} and "working" not in matched:
                continue  # `a day`, `an hour later`: hardly ever a term.
            count = number(m["sn"]) if m["sn"] else str(_WORDS[m["sw"]]) if m["sw"] else _from_han(m["sh"])
            yield Figure("span", f"{count} {_unit(m['unit'])}", matched)
        elif m["code"]:
            yield Figure("number", number(matched.lstrip("#")), matched)


def number(matched: str) -> str:
    """A number in one spelling: no thousands separators, no empty decimals. A code is returned unchanged."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", matched)
    if re.fullmatch(r"\d+\.\d+", plain):
        plain = plain.rstrip("0").rstrip(".")
    return plain


def _month(word: str) -> int:
    return _MONTHS.index(word[:3]) + 1


def _unit(word: str) -> str:
    unit = re.sub(r"[\s-]+", " ", word)
    return _UNITS.get(unit) or _UNITS[unit.removesuffix("s")]


def _day(matched: str) -> str:
    for han, word in {"今": "today", "明": "tomorrow", "后": "day after"}.items():
        if matched.startswith(han):
            return word
    return {"tonight": "today"}.get(matched, matched.removesuffix("s"))


def _clock(matched: str) -> str:
    found = re.match(r"(\d{1,2})(?:[:.](\d{2}))?\s?(am|pm)?", matched)
    assert found
    hour = int(found[1]) % 12 + (12 if found[3] == "pm" else 0) if found[3] else int(found[1])
    return f"{hour}:{found[2] or '00'}"


def _from_han(numeral: str) -> str:
    total, digit = 0, 0
    for char in numeral:
        if char in _HAN:
            digit = _HAN[char]
        else:
            total += (digit or 1) * {"十": 10, "百": 100}[char]
            digit = 0
    return str(total + digit)
