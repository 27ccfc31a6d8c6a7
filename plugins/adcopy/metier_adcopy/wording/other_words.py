"""Other words for the same fact: what a copywriter may write instead of the value that a sheet holds.

Each value has patterns over normalised text (lower case, `n't` as `not`). The attributes of the E2E data set are here
because restaurants are a trade's daily bread; the list is short on purpose, since each entry widens what passes.
"""

from __future__ import annotations

import re

_LOW = r"(cheap\w*|low\w*|inexpensive\w*|affordabl\w*|budget|bargain\w*|economical\w*)"
_MIDDLE = r"(moderate\w*|mid\w*|average\w*|medium|reasonabl\w*|fair\w*)"
_DEAR = r"(high\w*|expensive\w*|pricey|upscale|upmarket|costly|premium)"
_PRICE = r"(pric\w*|cost\w*|range\w*)"
_RATING = r"(rat\w+|review\w*|star\w*|recommend\w*|customer\w*|quality|feedback)"


def _near(one: str, other: str, words: int = 4) -> str:
    """Either order, at most `words` words between, none of which speaks of another price or rating."""
    gap = rf"(\W+(?!pric|cost|rat(e|ing)|review|star|but\b|and\b)\w+){{0,{words}}}?\W+"
    return rf"\b{one}{gap}{other}|\b{other}{gap}{one}"


_CHEAP = rf"\b(cheap|inexpensive|affordable|budget|bargain|economical)|{_near(_LOW, _PRICE)}"
_COSTLY = rf"\b(expensive|pricey|upscale|upmarket|costly)|{_near(_DEAR, _PRICE)}"
_FAIR = rf"\b(reasonabl|moderate)|{_near(_MIDDLE, _PRICE)}"
_GOOD = _near(r"(high\w*|excellent|great|good|well|top|perfect|5|five)", _RATING) + r"|\b(5|five) out of\b"
_POOR = (
    _near(r"(low\w*|poor\w*|bad\w*|1|one)", _RATING)
    + r"|\b(1|one) out of\b|\bnot (\w+ )?(good|great|recommended|well)\b"
)
_SOSO = _near(r"(average\w*|decent|ok|okay|mediocre|moderate\w*|3|three)", _RATING) + r"|\b(3|three) out of\b"

_OTHER_WORDS: dict[tuple[str, str], str] = {
    ("price", "cheap"): _CHEAP,
    ("price", "low"): _CHEAP,
    ("price", "less than £20"): _CHEAP + r"|\b(less|under|below|lower|up to)\b.{0,12}20",
    ("price", "moderate"): _FAIR,
    ("price", "mid"): _FAIR,
    ("price", "average"): _FAIR,
    ("price", "£20-25"): _FAIR + r"|20\D{0,14}25",
    ("price", "high"): _COSTLY,
    ("price", "more than £30"): _COSTLY + r"|\b(more|over|above|higher|upwards|greater)\b.{0,12}30",
    ("rating", "high"): _GOOD,
    ("rating", "5 out of 5"): _GOOD,
    ("rating", "average"): _SOSO,
    ("rating", "3 out of 5"): _SOSO,
    ("rating", "low"): _POOR,
    ("rating", "1 out of 5"): _POOR,
    ("", "city centre"): r"\b(city|town)[ -]?(centre|center)\b|\bcent(re|er) of (the )?(city|town)\b|\bdowntown\b",
    ("", "riverside"): r"\briver",
    ("", "english"): r"\b(english|british)\b",
    ("", "fast food"): r"\bfast[ -]?food\b",
    ("", "coffee shop"): r"\b(coffee|caf[eé])",
    ("", "restaurant"): r"\b(restaurant|eatery|diner|place to eat)",
    # A kind of garment is stated by any garment of the kind.
    (
        "",
        "上衣",
    ): r"上衣|衬衫|衬衣|卫衣|外套|t恤|毛衣|针织衫|开衫|大衣|风衣|西装|夹克|马甲|背心|打底衫|棒球服|羽绒服|雨衣|吊带",
    ("", "裤"): "裤",
    ("", "裙"): "裙",
}
_COMPILED = {place: re.compile(pattern) for place, pattern in _OTHER_WORDS.items()}

YES_WORDS: dict[str, str] = {
    "family friendly": r"(family|families|kids?|child(ren)?)(\W+\w+){0,3}\W+(friendly|orient\w+|welcom\w+|allowed|"
    r"suitable|atmosphere|environment|venue|place|restaurant|pub|coffee|establishment)|"
    r"(family|child|kid)[ -]?(friendly|orient\w+)|"
    r"(welcom\w+|suitable|suited|good|great|friendly|friend|perfect|ideal|appropriate|caters?|fun|open|bring|place|"
    r"appropriate)(\W+\w+){0,5}\W+(famil(y|ies)|kids?|child(ren)?)|\bfamily (pub|restaurant|coffee|place|venue|"
    r"establishment|shop|style|dining|fun|eat)|\ball ages\b|\bfamily\b|\bkids\b|\bchildren\b|\bfamilies\b",
}
"""What else says yes to a key."""

NO_WORDS: dict[str, str] = {
    "family friendly": r"\badults?\b|\bmature\b|\b(not|unsuitable|unfriendly|no|isn|without|nor)\b(\W+\w+){0,6}\W+"
    r"(famil(y|ies)|kids?|child(ren)?)|(famil(y|ies)|kids?|child(ren)?)(\W+\w+){0,4}\W+(not|unfriendly|unwelcome)|"
    r"(child|kid|famil)\w*[ -](free|unfriendly)|\b(non|un)[ -]?(family|kid|child)|\bover (18|21)",
}
"""What else says no to a key."""


def other_words(key: str, value: str) -> tuple[re.Pattern[str], bool] | None:
    """(pattern for how else this value is said under this key, whether nothing else says it), both normalised.

    A price or a rating is said by its pattern only: `high` alone could speak of the other.
    """
    topic = "price" if "price" in key else "rating" if "rating" in key else ""
    pattern = _COMPILED.get((topic, value))
    return (pattern, bool(topic)) if pattern else None
