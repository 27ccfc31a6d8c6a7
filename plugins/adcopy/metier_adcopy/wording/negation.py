"""What a text denies, and whether it keeps the negations of the brief. English and Chinese.

A negator governs the words that follow it, up to the end of its clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from metier.wording.words import HAN, STOPWORDS, Text, content, normalise, parted, same, stem, tokens
from metier_adcopy.facts import Fact
from metier_adcopy.wording.yes_no import yes_no

_CLAUSE = re.compile(
    r"[.;:!?,()\n](?!\d)|[。；：！？，、]|\bbut\b|\balthough\b|\bthough\b|\bwhile\b|\s-\s|"
    r"\band (?=(?:is|are|was|has|have|had|it|they|you|we|he|she|does|do|can|will|"
    r"comes?|costs?|serves?|offers?|makes?|gets?)\b)"
)
_NOT = re.compile(r"\b(?:not|no|never|without|nor|neither|lacks?|none)\b")
# `not only` affirms; `no more than` bounds; `no doubt` is no denial.
_NO_DENIAL = re.compile(
    r"\b(?:not?|without) (?:only|just|merely|simply|(?:more|less|fewer|later|longer|over|under) than|doubt|matter|"
    r"wonder|forgetting|problem|to mention|going to \w+ (?:itself|themselves))\b"
)
_PREPOSITIONS = frozenset(
    ["in", "with", "for", "at", "on", "from", "to", "by", "of", "into", "until", "after", "before"]
)
_SCOPE = 4
"""Content words that a negator governs."""
_DENYING = r"not?|never|without|none|nor|nothing|excluded|excluding|lacks?|separately"
_DENIES = re.compile(rf"\b(?:{_DENYING})\b|\bbring your own\b")
_NEGATIVE = re.compile(rf"\b(?:{_DENYING}|un(?:sweetened|scented|lined|dyed|treated)|free|zero)\b|\bbring your own\b")
# Keys that name a measure or a category, so that `no price` or `not a size` denies no fact.
_MEASURES = frozenset(
    """price size type item product name brand length weight height width depth colour color material fabric area
    location day days time hours pack for service class course shop model title audience range set rating near food
    eattype open opens age ages place town city where made volume capacity sizes from number event venue property
    attraction keyword order""".split()  # noqa: SIM905
)
_MEASURES_HAN = frozenset(
    """价格 尺寸 材质 颜色 重量 容量 规格 产地 类型 风格 图案 款式 名称 品名 品牌 型号 数量 长度 宽度 高度
    城市 地点 位置 时长 时间 营业 人数 年龄 适合 口味 面料 版型 服务 商品 店名 招牌 人均 净含量 衣样式 裤型 裙型
    裙长 衣长 裤长 成分 用途 功能 产品""".split()  # noqa: SIM905
)
# Values that say only that something is there.
_THERE = frozenset(
    ["included", "provided", "supplied", "accepted", "welcome", "allowed", "offered", "available", "free", "fitted"]
)
_LIGHT = _THERE | {
    "suitable", "safe", "include", "needed", "required", "sold", "need", "more", "extra", "other", "any", "one", "own",
    "day", "order", "price", "name", "product", "new", "good",
}  # fmt: skip

_HAN_NOT = re.compile(
    r"(?:不是|不支持|不可以|不需要?|不能|不会|不带|不含|不做|不用|不必|没有|并非|绝非|不|没|未|无|非)"
    r"(?P<after>[^。；：！？，,.;!?\s]{1,9})"
)
# Words in which the character denies nothing.
_HAN_WORDS = re.compile(
    r"不锈钢|不仅|不但|不失|不逊|不只|不止|不光|不过|不管|不论|不妨|不断|不愧|不如|不禁|不超过|不低于|不少于|不到|"
    r"无线|无人机|无论|无缝|无痕|无刷|无骨|无边|无框|无袖|无火|无钢圈|无尘|非常|非遗|非凡|非洲|未来|没准|没想到|要不|"
    r"差不多|忍不住|舍不得|了不起|看不见|用不完|[^，。；！？]不[^，。；！？](?=[，。；！？吗呢]|$)"
)
_HAN_NEGATED = re.compile(r"(?:不是|不|无|没有|没|未|非|勿|别|禁止|严禁|零|免(?!费))(?P<after>[㐀-鿿]{1,4})")


class Affirmed:
    """What the facts of a brief affirm: words and numbers of English, pairs of characters of Chinese."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        positive: list[str] = []
        negative: list[str] = []
        self.there: set[tuple[str, str]] = set()
        for fact in facts:
            key, value = normalise(fact.key), normalise(fact.value)
            if answer := yes_no(fact.value):
                affirms = answer[0] and not _negated(key)
                (positive if affirms else negative).append(f"{key} {answer[1]}")
            elif _negated(value):
                negative.append(f"{key} {value}")
            else:
                positive.append(value)
                (negative if _negated(key) else positive).append(" ".join(_features(key)))
            there = content(tokens(value))[-1:]
            if there and there[0] in _THERE and not _negated(value):
                self.there |= {(stem(there[0]), stem(t)) for t in content(tokens(f"{key} {value}"))}
        denied = {stem(t) for text in negative for t in content(tokens(text))} - {"not"}
        self.denied = denied
        self.words = {
            stem(t) for text in positive for t in content(tokens(text)) if len(t) > 2 or t[0].isdigit()
        } - denied - {stem(w) for w in _LIGHT}  # fmt: skip
        self.pairs = _pairs(" ".join(positive)) - _pairs(" ".join(negative))
        self.brief = " ".join(normalise(f"{fact.key} {fact.value}") for fact in facts)


def _features(key: str) -> list[str]:
    """Words of a key that name a feature, not a measure."""
    if HAN.search(key):
        return [key] if len(key) > 1 and key not in _MEASURES_HAN else []
    return [t for t in content(tokens(key)) if t not in _MEASURES]


def _negated(text: str) -> bool:
    return bool(_DENIES.search(text) or _HAN_NEGATED.search(_HAN_WORDS.sub(" ", text)))


def _pairs(text: str) -> set[str]:
    found = set()
    for run in re.findall(rf"{HAN.pattern}+", text):
        found |= {run[i : i + 2] for i in range(len(run) - 1)}
    return found


def denials(text: str, affirmed: Affirmed) -> Iterator[str]:
    """Words of a text that deny something the facts affirm."""
    plain = _NO_DENIAL.sub(" ", parted(text))
    for clause in _CLAUSE.split(plain):
        for match in _NOT.finditer(clause):
            yield from _denied_words(clause[match.start() : match.end() + 80], clause[-200:], affirmed)
    if HAN.search(plain):
        hidden = _HAN_WORDS.sub(lambda m: "·" * len(m[0]), plain)
        for match in _HAN_NOT.finditer(hidden):
            after = match["after"]
            negator = hidden[match.start() : match.start("after")]
            before = hidden[max(0, match.start() - 1) : match.start()]
            # The brief denies it in the same words: 学不会[免费重学一次], 坚果[不含].
            if (HAN.match(before) and before + negator in affirmed.brief) or negator + after[0] in affirmed.brief:
                continue
            digits = re.match(r"\d+(?:\.\d+)?", after)
            if (digits and digits[0] in affirmed.words) or any(
                after[i : i + 2] in affirmed.pairs for i in range(min(5 if len(negator) > 1 else 2, len(after) - 1))
            ):
                yield match[0]


def _denied_words(clause: str, whole: str, affirmed: Affirmed) -> Iterator[str]:
    governed: list[str] = []
    for token in tokens(clause)[1:]:
        if len(governed) == _SCOPE or (governed and token in _PREPOSITIONS):
            break  # `no sweetener in a 250 ml can` denies the sweetener.
        if token not in STOPWORDS and not HAN.search(token):
            if stem(token) in affirmed.denied and not any(stem(g) in affirmed.words for g in governed):
                return  # The brief denies it too.
            governed.append(token)
    denied = any(stem(token) in affirmed.words for token in governed)
    if not denied and governed and governed[0] in _THERE:  # `the lid is not included`
        what = {stem(token) for token in tokens(whole)} - {stem(governed[0])}
        denied = any((stem(governed[0]), word) in affirmed.there for word in what)
    if denied:
        yield " ".join(clause.split()[:7])


def lost(text: str, fact: Fact) -> bool:
    """Whether a fact that denies something is in the text without its negation.

    A plain `no` is left to `states_yes_no`.
    """
    value = normalise(fact.value)
    if yes_no(fact.value):
        return False
    plain = parted(text)
    if HAN.search(value):
        return bool(HAN.search(plain)) and _lost_in_chinese(plain, _HAN_WORDS.sub(" ", value))
    if not _NOT.search(value) or HAN.search(plain):
        return False
    around = Text(f"{fact.key} {value}")
    core = {t for t in content(around.tokens) if t != "not" and t not in ("only", "just")}
    for clause in _CLAUSE.split(plain):
        if _NEGATIVE.search(clause) and any(same(w, c) for w in tokens(clause)[:60] for c in core):
            return False
    return True


def _lost_in_chinese(plain: str, value: str) -> bool:
    for match in _HAN_NEGATED.finditer(value):
        after = match["after"].lstrip("能可会是用需要以得")[:2]
        if not re.search(rf"(?:[不无没未非勿别零免]|禁止|严禁)[^。；！？，,]{{0,2}}?{after}", plain):
            return True
    return False
