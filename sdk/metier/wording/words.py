"""Words of a text in a form that can be compared: tokens, light stems, closeness. English and Chinese share it.

It does not know facts or rules.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property, lru_cache
from itertools import pairwise

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
NUMBER = re.compile(r"(?<![a-z\d.])\d+(?:,\d{3})*(?:\.\d+)?")
"""A number in digits within normalised text."""

# Letters with the digits stuck to them (IPX7, B2B), or letters alone, or a number, or one run of Han characters.
_TOKEN = re.compile(
    r"[a-z\u00df-\u024f]+\d[a-z\d]*|[a-z\u00df-\u024f]+|\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[\u3400-\u9fff]+"
)
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "−": "-"})

STOPWORDS = frozenset(
    [
        "a", "an", "the", "of", "and", "or", "with", "to", "in", "for", "on", "at", "by", "from", "up", "per",
        "is", "are", "was", "be", "it", "its", "this", "that", "these", "as", "all", "s", "t", "&", "each",
        "into", "than", "then", "so", "if", "you", "your", "our", "we", "their", "his", "her",
    ]
)  # fmt: skip

_SPELT = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_TYS = ["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS = {w: str(n) for n, w in enumerate(_SPELT)} | {w: f"{n}0" for n, w in enumerate(_TYS, 3)}

_TENS = {word: int(n) for word, n in NUMBER_WORDS.items() if n.endswith("0") and len(n) == 2 and n != "10"}
_COMPOUND = re.compile(rf"\b({'|'.join(_TENS)})-({'|'.join(w for w, n in NUMBER_WORDS.items() if 0 < int(n) < 10)})\b")

# Spellings and short forms that mean the same word; the right-hand side represents them all.
_SAME = {
    "center": "centre", "gray": "grey", "color": "colour", "colors": "colour", "til": "until", "till": "until",
    "inches": "inch", "ltr": "litre", "litres": "litre", "liter": "litre", "liters": "litre", "l": "litre",
    "grams": "g", "gram": "g", "kilo": "kg", "kilos": "kg", "kilograms": "kg", "hrs": "hour", "hr": "hour",
    "h": "hour", "mins": "minute", "min": "minute", "yrs": "year", "yr": "year", "oz": "ounce", "lbs": "pound",
    "aluminum": "aluminium", "jewelry": "jewellery", "tire": "tyre", "tires": "tyre", "pajamas": "pyjamas",
    "children": "child", "kids": "child", "kid": "child", "feet": "foot", "ft": "foot", "in.": "inch",
    "watts": "w", "watt": "w", "no": "not", "never": "not", "without": "not", "non": "not", "none": "not",
    "isn't": "not", "metres": "m", "meters": "m", "metre": "m", "meter": "m", "litre's": "litre",
}  # fmt: skip


def normalise(text: str) -> str:
    """NFKC, lower case, straight quotes and hyphens, `n't` as `not`, `twenty-four` as `24`."""
    plain = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    plain = re.sub(r"\b(\w+?)n't\b", r"\1 not", plain).replace("cannot", "can not")
    return _COMPOUND.sub(lambda m: str(_TENS[m[1]] + int(NUMBER_WORDS[m[2]])), plain)


_STOPS = str.maketrans("，；：！？", "。。。。。")


def parted(text: str) -> str:
    """Normalised, with each full-width comma or stop as `。`: NFKC would make `，6元` a thousands separator."""
    return normalise(text.translate(_STOPS))


def tokens(text: str) -> list[str]:
    """Words, numbers and Han runs of a text, normalised; thousands separators and trailing zeros dropped."""
    found = []
    for token in _TOKEN.findall(normalise(text)):
        token = NUMBER_WORDS.get(token, token)
        found.append(number(token) if token[0].isdigit() else _SAME.get(token, token))
    return found


def number(text: str) -> str:
    """One spelling for a number: `1,000.50` → `1000.5`."""
    plain = text.replace(",", "")
    integer, _, fraction = plain.partition(".")
    integer, fraction = integer.lstrip("0") or "0", fraction.rstrip("0")
    return f"{integer}.{fraction}" if fraction else integer


def content(words: list[str]) -> list[str]:
    """Tokens that carry meaning."""
    kept = [w for w in words if w not in STOPWORDS]
    return kept or words


_ENDINGS = ("ings", "ing", "edly", "ed", "ly", "es", "s", "y", "e")


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A light English stem: plural, -ing, -ed, -ly and a final e; short words stay whole."""
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word  # fmt: skip


@lru_cache(maxsize=200_000)
def same(one: str, other: str) -> bool:
    """Whether two tokens are the same word, a typing error or an ending apart. Numbers must be equal."""
    if one == other:
        return True
    if one[0].isdigit() or other[0].isdigit() or HAN.search(one) or HAN.search(other):
        return False
    if stem(one) == stem(other):
        return True
    short, long = sorted((one, other), key=len)
    if len(short) >= 5 and long.startswith(short[: max(5, len(short) - 2)]) and len(long) - len(short) <= 4:
        return True
    return len(short) >= 5 and _distance_at_most(short, long, 2 if len(short) >= 9 else 1)


def _distance_at_most(one: str, other: str, most: int) -> bool:
    """Whether the optimal string alignment distance (a swap of neighbours counts as one) is within `most`."""
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1] <= most


_MOST_ALIKE = 64
_LONGEST = 32
"""Letters of a word from which on only its stem and beginning are compared: no word that people misspell is longer."""


@lru_cache(maxsize=50_000)
def _marks(word: str) -> frozenset[str]:
    """What a word shares with those that `same` may find equal: stem, beginning, itself without a letter or two.

    Two words within distance d have a common form after at most d deletions each (the symmetric delete of SymSpell).
    """
    if word[0].isdigit() or HAN.search(word):
        return frozenset()
    marks = {f"={stem(word)}", f"^{word[:5]}"}
    if 5 <= len(word) <= _LONGEST:
        shorter = {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}
        if len(word) >= 8:
            shorter |= {part[:i] + part[i + 1 :] for part in tuple(shorter) for i in range(len(part))}
        marks |= shorter
    return frozenset(marks)


class Text:
    """A text's tokens, also joined two by two, so that `leak proof` meets `leakproof`."""

    def __init__(self, text: str) -> None:
        self.raw = text
        self.plain = normalise(text)
        self.squeezed = re.sub(r"\s+", "", self.plain)
        self.tokens = tokens(text)
        self.vocabulary = set(self.tokens) | {a + b for a, b in pairwise(self.tokens) if a.isalpha() and b.isalpha()}
        self.chinese = bool(HAN.search(text))
        self._found: dict[str, bool] = {}

    def has(self, word: str) -> bool:
        """Whether the word, or one close to it, is in the text."""
        if word not in self._found:
            self._found[word] = word in self.vocabulary or any(same(word, other) for other in self._like(word))
        return self._found[word]

    def _like(self, word: str) -> set[str]:
        """Words of the text that `same` may find equal to this one, by what both must share; at most a few hundred."""
        found: set[str] = set()
        for mark in _marks(word):
            found |= set(self._marked.get(mark, ())[:_MOST_ALIKE])
        return found

    @cached_property
    def _marked(self) -> dict[str, list[str]]:
        marked: dict[str, list[str]] = {}
        for word in sorted(self.vocabulary):
            for mark in _marks(word):
                marked.setdefault(mark, []).append(word)
        return marked

    @cached_property
    def token_set(self) -> frozenset[str]:
        """The tokens, for looking one up."""
        return frozenset(self.tokens)

    def has_sequence(self, words: list[str]) -> bool:
        """Whether the words follow one another in the text, exactly."""
        return f" {' '.join(words)} " in f" {' '.join(self.tokens)} "
