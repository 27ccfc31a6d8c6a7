"""Whether a text is fluent: in its language, no clause twice, properly ended, and polite. It knows no rules."""

from __future__ import annotations

import re

from metier.wording.words import HAN, normalise, parted, tokens

_OTHER_SCRIPT = re.compile(r"[\u0370-\u1fff\u2c00-\u2dff\u3040-\u30ff\u3400-\u9fff\ua000-\ud7ff]")
_NOT_CHINESE = re.compile(r"[\u0370-\u1fff\u3040-\u309f\u30a1-\u30fa\uac00-\ud7ff]+")
# Of French, Spanish and German; three of them make a text another than English.
_SMALL_WORDS = frozenset(
    """le les des est une pour avec dans qui vous nous votre el los las una por para con del es su und der das mit für
    ist nicht ein eine auf von sich zu""".split()  # noqa: SIM905
)
_LATIN = re.compile(r"[a-z\u00df-\u024f]+(?:'[a-z]+)?")
_LATIN_RUN = 4
"""Latin words in a row, none of them in the brief, from which a Chinese text has left its language."""


def stray_words(text: str, language: str, known: str) -> str | None:
    """Words of another language than the text's, or None; what the brief holds may stand in any."""
    plain, given = normalise(text), normalise(known)
    words = set(_LATIN.findall(given))
    if language != "zh":
        foreign = re.findall(rf"{_OTHER_SCRIPT.pattern}+", plain)
        small = {word for word in _LATIN.findall(plain) if word in _SMALL_WORDS and word not in words}
        other_script = next((str(run) for run in foreign if run not in given), None)
        return other_script or (" ".join(sorted(small)) if len(small) > 2 else None)
    if found := next((str(run) for run in _NOT_CHINESE.findall(plain) if run not in given), None):
        return found
    run: list[str] = []
    end = 0
    for match in _LATIN.finditer(plain):
        if match.start() > end and HAN.search(plain, end, match.start()):
            run = []
        end = match.end()
        run = [*run[-_LATIN_RUN:], match[0]] if match[0] not in words and len(match[0]) > 1 else []
        if len(run) >= _LATIN_RUN or (len(run) >= 2 and not HAN.search(plain)):
            return " ".join(run)
    return None


_CLAUSES = re.compile(r"[.!?;:,](?!\d)|[。！？；：，、\n]|\s-\s")
_GRAM_HAN, _GRAM = 7, 6
_STUTTER = re.compile(
    r"\b(the|a|an|of|is|are|and|to|in|for|with|at|from|your|our)\s+\1\b|(?<![\d.,])(\d[\d.,]{2,})\s+[£$€¥]?\2(?![\d.,])"
)
"""A word or number that never comes twice in a row within a sentence."""
_TWICE = re.compile(r"(?<![\w-])(?!(?:(\w+)\W+)\1\b)([\w{}.-]{1,24} [\w{}.-]{2,24}) \2(?![\w-])")
_TWICE_HAN = re.compile(r"(?!([\u3400-\u9fff])\1)([\u3400-\u9fff\w]{4,16}?)\2")
"""Two words, or four characters, that follow on themselves with no stop between: `with filter with filter`."""


def repeated_words(text: str, least: int = 2, adjacent: bool = True) -> str | None:
    """A clause of at least `least` words that comes twice, or six words (seven Han characters) that do; or None.

    Two Han characters count as a word, and a clause that holds a number counts however short it is. Next to one
    another, two Han characters and single numbers count as well: `靠它。靠它。`, `£14 £14`; not where `adjacent` is
    False, as in speech: `Run, run!`.
    """
    clauses: set[tuple[str, ...]] = set()
    before: tuple[str, ...] = ()
    for clause in _CLAUSES.split(parted(text)):
        words = tuple(tokens(clause)) if clause.strip() else ()
        if not words:
            continue
        size = sum(len(w) if HAN.match(w) else 2 for w in words)
        again, before = words == before and size >= (2 if HAN.match(words[0]) else 4), words
        counts = (size >= 2 * least - 1 and size > 2) or (least <= 2 and any(w[0].isdigit() for w in words))
        if (again and adjacent) or (counts and words in clauses):
            return clause.strip()
        if adjacent and (twice := _TWICE.search(clause) or _TWICE_HAN.search(clause)):
            return twice[0].strip()
        clauses.add(words)
    return _repeated_run(text)


def _repeated_run(text: str) -> str | None:
    if stutter := _STUTTER.search(normalise(text)):
        return stutter[0]
    stream = [part for token in tokens(text) for part in (token if HAN.match(token) else (token,))]
    seen: set[tuple[str, ...]] = set()
    for i, word in enumerate(stream):
        size = _GRAM_HAN if HAN.match(word) else _GRAM
        gram = tuple(stream[i : i + size])
        if len(gram) == size and gram in seen:
            return ("" if HAN.match(word) else " ").join(gram)
        seen.add(gram)
    return None


_ENDED = re.compile(r"[.!?…。！？～~%）)\]】》」』}\"'”’]\s*$")
_DANGLING = re.compile(
    r"(?:\b(?:a|an|the|of|and|or|with|(?<!not )to|for|from|at|your|our|its|than|per|plus|x)|&|"
    r"[,，、；;：:×·\-–—(（£$€¥]|(?<![柔暖温平随缓饱总祥])和|[与及或被将从向]|"
    r"\d[到至])\s*$|\b(?:a|an|the|of|and|or|your|our|its|per|plus)\s*[.。]\s*$"
)


def ended(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return bool(_ENDED.search(text[-40:]))


def broken_end(text: str, sentence: bool) -> str | None:
    """The end of a text that stops in the middle, or None. A headline (`sentence` false) needs no full stop."""
    end = text.rstrip()[-40:]
    if (sentence and not _ENDED.search(end)) or _DANGLING.search(normalise(end)):
        return end[-12:]
    if any(end.count(a) > end.count(b) for a, b in ("（）", "《》", "「」", "“”")):
        return end[-12:]
    return None


_BAD = (
    "rubbish|garbage|trash|junk|crap|terrible|awful|useless|worthless|horrible|disgusting|lousy|shoddy|pathetic|dreadful|"
    "rip ?off|scam|a joke|a mess|poor quality|overpriced|inferior|third rate|not worth|no good"
)
_INSULT = (
    r"stupid|idiots?|fools?|dumb|ignorant|moron\w*|liars?|lazy|ridiculous|whin\w+|cheapskates?|ugly|losers?|clueless|"
    r"too (?:poor|cheap|slow|fat|old)|(?:did|do|have) not read"
)
_RUDE = re.compile(
    rf"\b(?:we|our|us|this|these|it|they|products?|service|staff|quality)\b[^.!?]{{0,40}}\b(?:{_BAD})\b|"
    rf"\b(?:you|you're|your|customers?|people)\b[^.!?]{{0,30}}\b(?:{_INSULT})\b|"
    r"\bwast(?:e|ing) (?:of )?(?:our|my|your|everyone's) (?:time|money)\b|\bwaste of (?:time|money)\b|"
    r"\bshut up\b|\bgo away\b|\bget lost\b|\bget over it\b|\bwho cares\b|\btake it or leave it\b|\blearn to read\b|"
    r"\bstop (?:complaining|whining|moaning|asking|bothering|wasting)\b|\b(?:before|when) you complain\b|"
    r"\bdo not (?:bother us|complain|blame us|ask us|expect (?:much|help|quality))\b|"
    r"\b(?:we|i) (?:do|could) not care\b|\bcould not care less\b|\bnot our (?:problem|fault)\b|\byour (?:own )?fault\b|"
    r"\bread the (?:rules|manual|terms)\b|\bif you (?:do not|cannot|can not) (?:like it|afford|read)\b|"
    r"\bdamn\b|\bbloody\b|\bhell no\b|\bit sucks?\b|\b(?:barely|hardly) works?\b|\bregret (?:buying|it)\b|"
    r"\b(?:we|it|they) (?:often |always |usually )?(?:breaks?|fails?|falls?) (?:apart|down|quickly|often)\b|"
    r"(?<!not )\b(?:so|too|really|pretty) bad\b|\bsorry (?:it|they|this) (?:is|are)\b|"
    r"\bwe (?:cheat|lie|hate|despise)\b|\bhonestly,? (?:our|we|it|this)\b"
)
_RUDE_HAN = re.compile(
    r"(?:太|很|真|特别|非常|极其?|质量)(?:差劲?|烂|糟糕?|垃圾|难用|难吃|难看|坑)(?!别|异)|"
    r"垃圾(?!桶|袋|箱|分类|车|处理)|破烂|烂货|次品|劣质|难吃死|骗人|坑人|坑你|坑钱|智商税|丢人现眼|"
    r"浪费(?:我们|我|大家|你|彼此)?的?(?:时间|钱)|看不懂就?别|不懂就别|没钱就?别|穷就别|别再?(?:烦|来烦|浪费|啰嗦|废话|投诉|问了|来了)|"
    r"不买(?:就)?(?:滚|拉倒|算了|走开)|爱买不买|爱要不要|买不起|滚(?:开|蛋|远|出去|吧)|闭嘴|活该|白痴|笨蛋|蠢|傻[子瓜逼]|"
    r"神经病|穷鬼|你有病|没(?:素质|文化|教养|脑子)|(?:难以|无法|不要|少)投诉|懒得(?:理|管|回)|关我们?(?:什么|屁)事|不关我们?的?事|"
    r"你(?:是不是|真|怎么这么|这么)(?:傻|笨|蠢|瞎|穷|烦)|自己(?:看|查|想)去|怪你自己|不配|(?<!不)(?<!不会)(?<!不要)(?<!别)后悔|"
    r"我们(?:的)?(?:东西|产品|质量|服务|货|店)[^。！？，]{0,4}(?:不好|不行|不怎么样|一般|差|烂)"
)


def rude_words(text: str) -> str | None:
    """Words that insult the reader or run down the seller, or None."""
    found = _RUDE.search(normalise(text)) or _RUDE_HAN.search(text)
    return found[0] if found else None
