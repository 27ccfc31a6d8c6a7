"""Numbers with the unit or currency beside them, in one spelling, so that `350ml` and `350 ml` are one quantity and
`£68` and `$68` are two."""

from __future__ import annotations

import re
from typing import NamedTuple

from metier.wording.words import NUMBER_WORDS, normalise, number

_UNITS: dict[str, str] = {}
for _canonical, _spellings in {
    "ml": "ml millilitre milliliter 毫升", "l": "l ltr litre liter 升", "cl": "cl",
    "g": "g gram gramme 克", "kg": "kg kilo kilogram kilogramme 千克 公斤", "mg": "mg 毫克",
    "mm": "mm millimetre millimeter 毫米", "cm": "cm centimetre centimeter 厘米 公分", "m": "m metre meter 米",
    "km": "km kilometre kilometer 公里 千米", "mile": "mile mi", "inch": 'inch inches in " 英寸 寸',
    "foot": "ft foot feet", "yard": "yard yd 码",
    "ounce": "oz ounce", "pint": "pint pt 品脱", "gallon": "gallon gal 加仑", "acre": "acre 英亩",
    "sqm": "sqm 平方米 平米", "sqft": "sqft 平方英尺", "sqkm": "sqkm 平方公里",
    "tonne": "tonne ton 吨", "pound": "lb lbs pound", "hour": "h hr hour 小时", "minute": "min minute 分钟",
    "second": "sec second 秒", "day": "day 天 日", "week": "week wk 周", "month": "month 个月 月",
    "year": "year yr 年 岁",
    "w": "w watt 瓦", "kw": "kw kilowatt", "v": "v volt", "mah": "mah", "hz": "hz 赫兹", "db": "db decibel 分贝",
    "lumen": "lumen lm 流明", "gb": "gb", "tb": "tb", "mp": "mp megapixel", "nm": "nm", "pa": "pa", "bar": "bar",
    "tog": "tog", "gsm": "gsm", "rpm": "rpm", "k": "k", "calorie": "calorie kcal 千卡 大卡",
    "%": "% percent 成", "°c": "°c 度", "star": "star 星",
    "GBP": "£ gbp quid", "USD": "$ usd us$ dollar 美元", "EUR": "€ eur euro", "CNY": "¥ ￥ cny rmb 元 块 人民币",
    "JPY": "jpy yen 日元",
}.items():  # fmt: skip
    for _spelling in _spellings.split():
        _UNITS[_spelling] = _canonical
_RANGE = {"-", "to", "and"}
CURRENCIES = frozenset({"GBP", "USD", "EUR", "CNY", "JPY"})

_LATIN = sorted((re.escape(u) for u in _UNITS if u.isascii() and u.isalpha() and u != "in"), key=len, reverse=True)
_HAN = sorted((u for u in _UNITS if not u.isascii() and u.isalpha()), key=len, reverse=True)
# `in` is an inch only where it cannot be the preposition.
_INCH = r"in(?=\s*(?:[.,;:)x×]|$|wide|high|deep|long|tall|deck|inseam))"
_AMOUNT = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_QUANTITY = re.compile(
    rf"(?P<before>us\$|[£$€¥]|\b(?:gbp|usd|eur|cny|rmb)\s)?\s?(?<![a-z\d.])(?<!\d,)(?P<number>{_AMOUNT})"
    rf"(?:\s?-?\s?(?P<after>°c|[%£$€\"]|(?:{'|'.join(_LATIN)})(?:e?s)?(?![a-z\d])|{_INCH}|{'|'.join(_HAN)}))?"
)
_SPELT = re.compile(
    rf"\b(?P<number>{'|'.join(w for w, n in NUMBER_WORDS.items() if int(n) >= 2)})[\s-]"
    rf"(?P<after>percent|(?:{'|'.join(u for u in _LATIN if len(u) > 2)})(?:e?s)?)\b"
)
_SQUARE = re.compile(r"\b(?:sq\.?|square)[\s-]?(?:(?P<m>m(?:et(?:re|er)s?)?)|(?P<ft>ft|feet|foot)|(?P<km>km))\b")
_HAN_NUMERAL = re.compile(
    rf"(?P<number>[二两三四五六七八九十百千万]+)(?P<after>{'|'.join(u for u in _HAN if u not in '天日月')})"
)
_HAN_DIGIT = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2}


class Quantity(NamedTuple):
    """A number as written in digits, its unit if there is one, and the words it was read from."""

    number: str
    unit: str | None
    excerpt: str


def quantities(text: str) -> list[Quantity]:
    """Quantities in digits, and those spelt out before a unit (`two years`, `三年`), in no special order."""
    plain = _SQUARE.sub(lambda found: f"sq{found.lastgroup}", normalise(text))
    found = []
    last_end, last_unit = 0, None
    for match in _QUANTITY.finditer(plain):
        unit = _unit(match["before"]) or _unit(match["after"])
        if unit is None and last_unit in CURRENCIES and plain[last_end : match.start()].strip() in _RANGE:
            unit = last_unit  # £20-25 is pounds on both sides.
        last_end, last_unit = match.end(), unit
        found.append(Quantity(number(match["number"]), unit, match[0].strip()))
    for match in _SPELT.finditer(plain):
        found.append(Quantity(NUMBER_WORDS[match["number"]], _unit(match["after"]), match[0]))
    for match in _HAN_NUMERAL.finditer(plain):
        found.append(Quantity(_from_han(match["number"]), _unit(match["after"]), match[0]))
    return found


def units_in(text: str) -> set[str]:
    """Units and currencies that a text names anywhere, with or without a number."""
    plain = normalise(text)
    beside = {q.unit for q in quantities(text) if q.unit}
    words = {_UNITS[w] for w in re.findall(r"[a-z]+", plain) if w in _UNITS and w != "in"}
    plurals = {_UNITS[w[:-1]] for w in re.findall(r"(?<![a-z])[a-z]{3,}s\b", plain) if w[:-1] in _UNITS}
    # What is rated is rated in stars.
    signs = ({"star"} if "rating" in plain else set()) | {_UNITS[c] for c in re.findall(r"[£$€¥%]", plain)}
    return beside | words | plurals | signs | {_UNITS[u] for u in _HAN if u in plain}


def _unit(spelling: str | None) -> str | None:
    if not spelling:
        return None
    word = spelling.strip()
    for candidate in (word, word.removesuffix("s"), word.removesuffix("es")):
        if candidate in _UNITS:
            return _UNITS[candidate]
    return None


def _from_han(numeral: str) -> str:
    total, digit = 0, 0
    for char in numeral:
        if char in _HAN_DIGIT:
            digit = _HAN_DIGIT[char]
        else:
            scale = {"十": 10, "百": 100, "千": 1000, "万": 10000}[char]
            total += (digit or 1) * scale
            digit = 0
    return str(total + digit)
