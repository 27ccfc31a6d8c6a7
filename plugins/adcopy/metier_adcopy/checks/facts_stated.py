"""Copy must state every fact it was given: numbers and names exactly, phrases in near wording, yes and no exactly.

What it cannot judge it lets pass: a value in another script than the copy (a translation would be needed).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from metier.contracts import Check, Finding
from metier.wording.quantities import quantities
from metier.wording.words import HAN, Text, content, normalise, tokens
from metier_adcopy.copy_of import pieces
from metier_adcopy.facts import Fact, known_facts
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS
from metier_adcopy.wording.other_words import other_words
from metier_adcopy.wording.yes_no import states_yes_no, yes_no

RULE = "House rule: state every fact of the brief"

NAME_KEYS = frozenset(
    [
        "name", "brand", "title", "author", "artist", "host", "名称", "名稱", "品名", "商品名", "商品名称",
        "品牌", "店名", "书名", "餐厅", "民宿", "作者",
    ]
)  # fmt: skip
"""Keys whose value is a name: the copy must hold it whole, case aside."""

_ITEMS = re.compile(r"\s*(?:,(?!\d{3}\b)|[，、;；/]|\s&\s|\band\b)\s*")
_ITEMS_HAN = re.compile(r"[,，、;；/和及与]")
_MOST = 0.6
"""Share of a phrase's content words that must be found: 1 of 1, 2 of 2, 2 of 3, 3 of 4, 3 of 5."""
_ORDINALS = frozenset(["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"])
_MOST_OF_A_SENTENCE = 0.5
# Words by which a sentence of the brief hangs together, and copy need not.
_OF_A_SENTENCE = frozenset(["has", "have", "cost", "costs", "comes", "there", "made", "can", "may", "otherwise"])
_OF_A_SENTENCE_HAN = "价格|售价|这款|尺寸|纸张|材质|[是的为有了含]"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per fact that the text leaves out or turns round."""
    text = Text("\n".join(pieces(output)))
    return [
        Finding(message=f"does not state {fact.key}[{fact.value}]", rule=RULE)
        for fact in known_facts(input)
        if not states(text, fact)
    ]


def states(text: Text, fact: Fact) -> bool:
    """Whether the text states one fact."""
    if answer := yes_no(fact.value):
        wanted, beside = answer
        return states_yes_no(text, fact.key, wanted) and (not beside or _phrase(text, beside))
    key = normalise(fact.key)
    if not key:
        return _sentence(text, fact.value)
    if key in NAME_KEYS or (key == "near" and fact.value[:1].isupper()):
        return _name(text, fact.value)
    return _value(text, key, fact.value)


def _name(text: Text, name: str) -> bool:
    words = [w for w in tokens(name) if w not in ("and", "the")]
    if not words:  # A name of signs alone.
        return normalise(name) in text.plain
    if HAN.search(name):
        return not text.chinese or re.sub(r"\s+", "", normalise(name)) in text.squeezed
    plain = Text(re.sub(r"\b(?:and|the)\b", " ", text.plain))
    return plain.has_sequence(words)


def _value(text: Text, key: str, value: str) -> bool:
    plain = " ".join(normalise(value).split())
    if known := other_words(key, plain):
        pattern, alone = known
        if alone or pattern.search(text.plain):
            return bool(pattern.search(text.plain))
    if plain.replace(" ", "") in text.squeezed and not plain.isalpha() and not plain[0].isdigit():
        return True
    chinese = bool(HAN.search(value)) and text.chinese
    items = [item for item in (_ITEMS_HAN if chinese else _ITEMS).split(value) if item.strip()]
    return all(_phrase(text, item) for item in items)


@lru_cache(maxsize=8)
def _stated(text: str) -> frozenset[tuple[str, str | None]]:
    return frozenset((quantity.number, quantity.unit) for quantity in quantities(text))


def _sentence(text: Text, sentence: str) -> bool:
    """Whether a sentence of the brief is in the copy: all its quantities, and most of its words."""
    found = {number for number, _ in _stated(text.raw)} | text.token_set
    if any(q.number not in found for q in quantities(sentence)):
        return False
    if HAN.search(sentence):
        return not text.chinese or _share_of_pairs(text, normalise(sentence)) >= _MOST_OF_A_SENTENCE
    words = [w for w in content(tokens(sentence)) if not w[0].isdigit() and w not in _OF_A_SENTENCE]
    return not words or sum(text.has(w) for w in words) / len(words) >= _MOST_OF_A_SENTENCE


def _share_of_pairs(text: Text, phrase: str) -> float:
    """Share of the pairs of neighbouring Han characters that the text holds; a single character counts as itself."""
    runs = re.findall(rf"{HAN.pattern}+", re.sub(_OF_A_SENTENCE_HAN, " ", phrase))
    marks = {a + b for run in runs for a, b in pairwise(run)} | {run for run in runs if len(run) == 1}
    return sum(mark in text.plain for mark in marks) / len(marks) if marks else 1.0


def _phrase(text: Text, phrase: str) -> bool:
    if _quantity(text, phrase):
        return True
    words = tokens(phrase)
    numbers = [w for w in words if w[0].isdigit()]
    if any(n not in text.token_set for n in numbers):
        return False
    if any(word in _ORDINALS and word not in text.token_set for word in words):
        return False
    if HAN.search(phrase) and text.chinese:
        return _phrase_in_chinese(text, phrase)
    # Han characters beside Latin ones in a text without any are a gloss: `cast iron 铸铁`.
    rest = [w for w in content(words) if not w[0].isdigit() and not HAN.search(w)]
    if not rest:
        return True
    joined = {a + b for a, b in pairwise(rest)}
    if len(rest) == 2 and any(text.has(pair) for pair in joined):
        return True
    # A number's unit may be written as a sign (60 mm, 60mm, 60 millimetres), so that it counts with the number.
    hits = sum(text.has(word) for word in rest) + len(numbers)
    return hits / (len(rest) + len(numbers)) >= _MOST


def _quantity(text: Text, phrase: str) -> bool:
    """Whether a phrase that is nothing but quantities is in the text, in whatever spelling: 500毫升, 500 ml."""
    wanted = quantities(phrase)
    rest = normalise(phrase)
    for quantity in wanted:
        rest = rest.replace(quantity.excerpt, " ")
    if not wanted or any(c.isalpha() for c in rest):
        return False
    found = _stated(text.raw)
    return all((q.number, q.unit) in found for q in wanted)


def _phrase_in_chinese(text: Text, phrase: str) -> bool:
    plain = re.sub(r"\s+", "", normalise(phrase))
    if plain in text.squeezed:
        return True
    if any(word not in text.token_set for word in tokens(re.sub(HAN.pattern, " ", plain)) if not word[0].isdigit()):
        return False
    han = HAN.findall(plain)
    if wanted := quantities(phrase):
        found = _stated(text.raw)
        for quantity in wanted:
            plain = plain.replace(re.sub(r"\s+", "", quantity.excerpt), " ")
        return all((q.number, q.unit) in found for q in wanted) and _share_of_pairs(text, plain) >= _MOST
    pairs = {a + b for a, b in pairwise(han)}
    if not pairs:
        return all(c in text.plain for c in han)
    return sum(pair in text.plain for pair in pairs) / len(pairs) >= _MOST


facts_stated = Check(
    name="facts_stated",
    title="All facts stated",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(
        {"facts": "name[Alimentum], area[city centre], familyFriendly[no]"},
        {"text": "Alimentum, in the city centre, is not family-friendly."},
    ),
    failing=(
        {"facts": "name[Alimentum], area[city centre], familyFriendly[no]"},
        {"text": "Alimentum, in the city centre, is family-friendly."},
    ),
    description="Every fact of the brief stands in the copy: numbers and names exactly, the rest in near wording.",
)
