"""Whether a text denies what a source affirms, or affirms what it denies, clause by clause, English and Chinese.

A clause is compared with the clauses of the source that hold nearly all its words; where all of those have the other
polarity, the two contradict one another. It knows no synonyms: a clause in words of its own is never judged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from metier.wording.words import HAN, STOPWORDS, normalise, stem, tokens

SHARE = 0.75
"""Share of a clause's words that a clause of the source must hold, and then two words or three pairs of characters."""
_MOST = 64
"""Clauses of the source that are looked at for one word."""
_CLAUSE = re.compile(r"[.;:!,()\n](?!\d)|[。；：！，、]|\bbut\b|\balthough\b|\bthough\b|\bwhile\b|\bbecause\b|\s-\s")
# What limits a clause makes its negation one of the limit: `not after 14 days`, `only unopened ones`. A question asks.
_LIMITED = re.compile(
    r"\?|\b(?:only|unless|except|if|once|past|later|longer|more than|less than|over|after|beyond|until|without|need|"
    r"worry|instead|otherwise|any more|whether|either|nor|neither)\b|"
    r"[？吗呢]|只|仅|除|如果|若|要是|超过|超出|以后|之后|后|才|再|否则|是否|不用|不必|无需|不需|别担心|不满意|不足|不满|不到|不少于|不低于"
)
_QUESTIONS = frozenset("?？吗呢")
_LIGHT = STOPWORDS | frozenset(
    """i you it we they he she me us them my your our can could will would may might shall should must do does did is
    are was were be been has have had there here please yes sorry afraid just also still yet now not no so
    """.split()  # noqa: SIM905
)
_HAN_WORDS = re.compile(
    r"不锈钢|不仅|不但|不只|不过|不管|不论|不好意思|不错|差不多|不妨|无论|无线|非常|别人|别的|特别|分别|区别|没问题|"
    r"([㐀-鿿])不\1"
)
_HAN_NOT = re.compile(r"没有?|未|并非|[不无勿别](?=[㐀-鿿])")


class _Clause(NamedTuple):
    words: frozenset[str]
    negated: bool
    limits: frozenset[str]
    """Words that limit it. Two clauses with other limits are not compared."""
    text: str


def contradictions(text: str, source: str) -> Iterator[str]:
    """Clauses of a text that say the opposite of the source. Linear in both."""
    clauses = list(_clauses(source))
    by_word: dict[str, list[int]] = {}
    for n, clause in enumerate(clauses):
        for word in clause.words:
            by_word.setdefault(word, []).append(n)
    for clause in _clauses(text):
        least = 3 if HAN.search(clause.text) else 2
        if clause.limits & _QUESTIONS or len(clause.words) < least:
            continue
        shared = Counter(n for word in clause.words for n in by_word.get(word, ())[:_MOST])
        near = [
            clauses[n]
            for n, count in shared.items()
            if count >= least and (count >= SHARE * len(clause.words) or least < count == len(clauses[n].words))
        ]
        if near and all(other.negated is not clause.negated and other.limits == clause.limits for other in near):
            yield clause.text


def _clauses(text: str) -> Iterator[_Clause]:
    for sentence in re.split(r"(?<=[?？])", normalise(text.translate(_FULL_WIDTH))):
        for part in _CLAUSE.split(sentence):
            if part.strip():
                yield _clause(part.strip())


_FULL_WIDTH = str.maketrans({"，": "。", "；": "。", "：": "。", "！": "。"})


def _clause(text: str) -> _Clause:
    if not HAN.search(text):
        found = tokens(text)
        words = frozenset(stem(word) for word in found if word not in _LIGHT)
        return _Clause(words, found.count("not") % 2 == 1, frozenset(_LIMITED.findall(text)), text)
    plain = re.sub(r"不([㐀-鿿])不([㐀-鿿])", r"不\1\2", _HAN_WORDS.sub("", text))  # 不退不换 is 不退换.
    negators = len(_HAN_NOT.findall(plain))
    bare = _HAN_NOT.sub(lambda found: "有" if found[0] == "没有" else "", plain)
    bare = re.sub(r"[您你我们的了呢哦哈呀是会已经都也就]", "", bare)
    runs = re.findall(rf"{HAN.pattern}+|[a-z0-9.]+", bare)
    words = {run[i : i + 2] for run in runs if HAN.match(run) for i in range(len(run) - 1)}
    words |= {run for run in runs if not HAN.match(run)}
    return _Clause(frozenset(words), negators % 2 == 1, frozenset(_LIMITED.findall(text)), text)
