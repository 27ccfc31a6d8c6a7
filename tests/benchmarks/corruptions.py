"""Right references, made wrong in the ways that matter to a trade: the mutations of the mutation test of the checks.

Each kind takes a sample and the other samples of its task and language, and yields outputs of which a professional
would say that they are wrong. A kind that finds nothing to corrupt yields nothing.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Output = dict[str, Any]
_HAN = re.compile(r"[㐀-鿿]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_CONDITIONS_EN = {
    r"\bover\b": "under", r"\bunder\b": "over", r"\babove\b": "below", r"\bbelow\b": "above",
    r"\bat least\b": "at most", r"\bat most\b": "at least", r"\bbefore\b": "after", r"\bafter\b": "before",
    r"\bwithin\b": "after", r"\bup to\b": "from", r"\bfrom\b": "up to", r"\bunless\b": "if", r"\bonly\b": "also",
    r"\bminimum\b": "maximum", r"\bmore than\b": "less than", r"\bless than\b": "more than",
}  # fmt: skip
_CONDITIONS_ZH = {
    "以上": "以下", "以下": "以上", "以内": "以后", "之内": "之后", "超过": "不到", "不到": "超过", "不超过": "超过",
    "至少": "至多", "最多": "最少", "之前": "之后", "以前": "以后", "之后": "之前", "满": "不满", "除非": "如果",
}  # fmt: skip
_NEGATE_EN = {
    r"\bis\b(?! not)": "is not", r"\bare\b(?! not)": "are not", r"\bcan\b(?! not)": "cannot", r"\bwill\b(?! not)":
    "will not", r"\bhas\b": "has no", r"\bhave\b": "have no", r"\bwith\b": "without", r"\bYes\b": "No",
}  # fmt: skip
_AFFIRM_EN = {
    r"\b(is|are|can|will|do|does|has|have|should|may)(?:n't| not)\b": r"\1", r"\bcannot\b": "can", r"\bcan't\b": "can",
    r"\bwon't\b": "will", r"\bdon't\b": "do", r"\bno\b": "a", r"\bwithout\b": "with", r"\bnever\b": "always",
    r"\bNo\b": "Yes", r"\bnot\b ": "",
}  # fmt: skip
_NEGATE_ZH = {
    r"(?<![不没])有": "没有", r"(?<![不])可以": "不可以", r"(?<![不])能(?!量|源|力)": "不能",
    r"(?<![不])支持": "不支持",
    r"(?<![不])是(?!不是|否)": "不是", r"(?<![不])会(?!员|议)": "不会", r"(?<!不)带": "不带", r"(?<!不)含": "不含",
}  # fmt: skip
_AFFIRM_ZH = {
    r"没有": "有", r"不可": "可", r"不能": "能", r"不支持": "支持", r"不是": "是", r"不会": "会", r"不含": "含",
    r"无需": "需要", r"不用": "要", r"不(?=[一-鿿])": "", r"没(?=[一-鿿])": "",
}  # fmt: skip
_UNITS_EN = {
    "ml": "l", "cm": "mm", "mm": "cm", "kg": "g", "g": "kg", "hours": "minutes", "minutes": "hours", "days": "weeks",
    "months": "days", "years": "months", "W": "kW", "m": "km", "pages": "chapters", "litres": "pints", "day": "month",
    "seconds": "minutes", "weeks": "days", "hour": "day", "year": "week", "GB": "MB", "mAh": "W",
}  # fmt: skip
_UNITS_ZH = {
    "毫升": "升", "厘米": "毫米", "毫米": "厘米", "克": "千克", "千克": "克", "小时": "分钟", "分钟": "小时",
    "天": "个月",
    "个月": "天", "年": "天", "元": "万元", "瓦": "千瓦", "米": "千米", "升": "毫升", "秒": "小时", "度": "米",
    "斤": "吨",
    "公斤": "克", "支": "箱", "片": "盒", "周": "天", "日": "月",
}  # fmt: skip
_RUDE = {
    "en": ("Stop wasting our time.", "Honestly, our products are rubbish.", "Read the rules before you complain."),
    "zh": ("我们东西太差，难以投诉。", "别再浪费我们的时间了。", "看不懂就别买。"),
}
_SELL_TASKS = ("adcopy.", "support.")
_COUNTERPARTS = {"£": "$", "$": "€", "€": "£", "¥": "$", "￥": "$"}


@dataclass(frozen=True)
class Case:
    """One sample with what a corruption needs beside it."""

    task: str
    language: str
    input: Mapping[str, Any]
    output: Output
    others: Sequence[Case]
    """Other samples of the same task and language."""
    foreign: Sequence[Case]
    """Samples of the same task in the other language."""


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """(path, text) of each free text of an output; enumerations and names of passages are left out."""
    closed = ("intent", "grade", "emotion", "action", "used", "label", "sentiment", "node", "to", "gesture", "relation")
    if isinstance(value, str):
        if not (path and any(part in closed for part in path)):
            yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    elif isinstance(value, Sequence):
        for n, inner in enumerate(value):
            yield from texts(inner, (*path, n))


def put(output: Output, path: tuple[Any, ...], value: Any) -> Output:
    """The output with another value at a path."""
    new = copy.deepcopy(output)
    if not path:
        return value
    inner: Any = new
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return new


def _swaps(table: Mapping[str, str], text: str) -> Iterator[str]:
    for pattern, other in table.items():
        found = re.search(pattern, text)
        if found:
            yield text[: found.start()] + found.expand(other) + text[found.end() :]


def _each(case: Case, of_text: Callable[[str], Iterator[str]]) -> Iterator[Output]:
    for path, text in texts(case.output):
        for new in of_text(text):
            if new.strip() and new != text:
                yield put(case.output, path, new)


def condition(case: Case) -> Iterator[Output]:
    """A condition reversed, or dropped where a number follows."""
    table = _CONDITIONS_ZH if case.language == "zh" else _CONDITIONS_EN

    def change(text: str) -> Iterator[str]:
        yield from _swaps(table, text)
        drop = (
            r"(满|超过|不到|至少|最多|不超过)(?=\d)|(?<=\d元)(以上|以内|以下)|(?<=天)(以内|之内|内)"
            if case.language == "zh"
            else r"\b(over|under|above|below|at least|at most|more than|less than|up to|within|from) (?=[£$€]?\d)"
        )
        found = re.search(drop, text)
        if found:
            yield text[: found.start()] + text[found.end() :]

    yield from _each(case, change)


def number(case: Case) -> Iterator[Output]:
    """A number changed, cut, or exchanged with another of the same text."""

    def change(text: str) -> Iterator[str]:
        found = list(NUMBER.finditer(text))
        for match in found[:2]:
            value = match.group()
            yield text[: match.start()] + str(int(value.split(".")[0].replace(",", "")) + 3) + text[match.end() :]
            if len(value) > 1:
                yield text[: match.start()] + value[:-1].rstrip(".,") + text[match.end() :]
        if len(found) > 1 and found[0].group() != found[1].group():
            one, two = found[0], found[1]
            yield text[: one.start()] + two.group() + text[one.end() : two.start()] + one.group() + text[two.end() :]

    yield from _each(case, change)


def unit(case: Case) -> Iterator[Output]:
    """The unit behind a number, or the currency before it, changed."""

    def change(text: str) -> Iterator[str]:
        table = _UNITS_ZH if case.language == "zh" else _UNITS_EN
        for name in sorted(table, key=len, reverse=True):
            edge = "" if case.language == "zh" else r"\b"
            found = re.search(rf"(?<=\d)(\s?){name}{edge}", text)
            if found:
                yield text[: found.start()] + found.group(1) + table[name] + text[found.end() :]
                break
        found = re.search(r"[£$€¥￥](?=\d)", text)
        if found:
            yield text[: found.start()] + _COUNTERPARTS[found.group()] + text[found.end() :]

    yield from _each(case, change)


def negation(case: Case) -> Iterator[Output]:
    """A negation added or lost."""
    tables = (_NEGATE_ZH, _AFFIRM_ZH) if case.language == "zh" else (_NEGATE_EN, _AFFIRM_EN)

    def change(text: str) -> Iterator[str]:
        for table in tables:
            yield from list(_swaps(table, text))[:1]

    yield from _each(case, change)


def name_of(case: Case) -> str | None:
    """What the sample is about: the product's or the speaker's name."""
    facts = case.input.get("facts")
    if isinstance(facts, str):
        found = re.search(r"(?:name|名称|店名|品名|商品)\s*[\[【:：]\s*([^\]】,，\n]+)", facts)
        return found.group(1).strip() if found else None
    attributes = case.input.get("attributes")
    if isinstance(attributes, Mapping):
        return next((str(v) for k, v in attributes.items() if k in ("name", "商品", "名称", "品名")), None)
    for key in ("product", "speaker"):
        if isinstance(case.input.get(key), str):
            return case.input[key]
    return None


def noun(case: Case) -> Iterator[Output]:
    """Another product's, person's or place's name in place of the right one."""
    name = name_of(case)
    strangers = [other for other in map(name_of, case.others) if other and other != name]
    cast = [c["name"] for c in case.input.get("characters") or [] if isinstance(c, Mapping)]

    def change(text: str) -> Iterator[str]:
        if name and name in text and strangers:
            yield text.replace(name, strangers[len(text) % len(strangers)], 1)
        for member in cast[:1]:
            for form in (member, member.upper()):
                if form in text and strangers_of_cast:
                    yield text.replace(form, strangers_of_cast[0].upper() if form.isupper() else strangers_of_cast[0])

    strangers_of_cast = [
        c["name"]
        for other in case.others
        for c in other.input.get("characters") or []
        if isinstance(c, Mapping) and c["name"] not in cast
    ]
    yield from _each(case, change)


def another(case: Case) -> Iterator[Output]:
    """The right answer to another input."""
    if case.others:
        yield copy.deepcopy(case.others[0].output)
        yield copy.deepcopy(case.others[len(case.others) // 2].output)


def denied(case: Case) -> Iterator[Output]:
    """The structured field denies what the reply promises, or the reply promises what the field denies."""
    if "escalate" in case.output:
        yield {**copy.deepcopy(case.output), "escalate": not case.output["escalate"]}
        promise = "我马上转给主管处理。" if case.language == "zh" else "I'm passing this to our manager."
        if not case.output["escalate"]:
            yield {**copy.deepcopy(case.output), "reply": f"{case.output['reply']} {promise}"}


def secret(case: Case) -> Iterator[Output]:
    """A secret that is still closed, given away word for word and in other words."""
    for one in case.input.get("secrets") or []:
        state = case.input.get("state") or {}
        value, least = state.get(one["when"]), one.get("at_least")
        if bool(value) if least is None else float(value or 0) >= least:
            continue
        for path, text in list(texts(case.output))[:1]:
            yield put(case.output, path, f"{text} {one['text']}")
            if case.language == "zh":
                yield put(case.output, path, "跟你说实话吧，" + "，".join(reversed(re.split("[，,、]", one["text"]))))
            else:
                plain = ("a", "an", "the", "is", "was", "she", "he", "they", "her", "his", "their", "in", "of", "it")
                words = [w for w in re.findall(r"[A-Za-z0-9']+", one["text"]) if w.lower() not in plain]
                half = len(words) // 2
                yield put(case.output, path, "You guessed it: " + " ".join(words[half:] + words[:half]) + ".")


def speaker(case: Case) -> Iterator[Output]:
    """Somebody else speaks."""
    script = case.output.get("text")
    cast = [str(c["name"]) for c in case.input.get("characters") or [] if isinstance(c, Mapping)]
    if isinstance(script, str) and len(cast) > 1:
        one, two = cast[0].upper(), cast[1].upper()
        lines = script.split("\n")
        swapped = [two if line.strip() == one else one if line.strip() == two else line for line in lines]
        if swapped != lines:
            yield {**case.output, "text": "\n".join(swapped)}
        stranger = [("GUARD" if case.language == "en" else "保安") if line.strip() == one else line for line in lines]
        if stranger != lines:
            yield {**case.output, "text": "\n".join(stranger)}
    if case.task.startswith("npc."):
        for path, text in list(texts(case.output))[:1]:
            player = "玩家：" if case.language == "zh" else "Player: "
            yield put(case.output, path, player + text)
            if case.others and name_of(case.others[0]):
                yield put(
                    case.output, path, f"{name_of(case.others[0])}{'：' if case.language == 'zh' else ': '}{text}"
                )


def repeated(case: Case) -> Iterator[Output]:
    """A clause that comes twice."""

    def change(text: str) -> Iterator[str]:
        clauses = [c for c in re.split(r"(?<=[.!?。！？；，,;])\s*", text) if c.strip()]
        if len(text) > (8 if case.language == "zh" else 20):
            gap = "" if case.language == "zh" else " "
            yield f"{text}{gap}{clauses[-1]}"
            if len(clauses) > 2:
                yield gap.join([*clauses[:2], clauses[0], *clauses[2:]])

    yield from list(_each(case, change))[:3]


def truncated(case: Case) -> Iterator[Output]:
    """The end is missing, in the middle of a word or clause."""
    found = [(path, text) for path, text in texts(case.output) if len(text) > (10 if case.language == "zh" else 30)]
    for path, text in found[-1:]:
        for share in (0.6, 0.85):
            cut = text[: int(len(text) * share)].rstrip(" .,!?。，！？")
            yield put(case.output, path, cut)


def rude(case: Case) -> Iterator[Output]:
    """A sentence that offends the reader or accuses oneself."""
    if not case.task.startswith(_SELL_TASKS):
        return
    found = max(texts(case.output), key=lambda item: len(item[1]), default=None)
    if found:
        for line in _RUDE[case.language][:2]:
            yield put(case.output, found[0], f"{found[1]}{'' if case.language == 'zh' else ' '}{line}")


def language(case: Case) -> Iterator[Output]:
    """The text in the other language."""
    if not case.foreign:
        return
    longest = max((text for _, text in texts(case.foreign[0].output)), key=len, default="")
    found = max(texts(case.output), key=lambda item: len(item[1]), default=None)
    if found and longest and bool(_HAN.search(longest)) != bool(_HAN.search(found[1])):
        yield put(case.output, found[0], longest)
        half = len(found[1]) // 2
        yield put(case.output, found[0], found[1][:half] + longest[: max(10, len(longest) // 2)])


KINDS: dict[str, Callable[[Case], Iterator[Output]]] = {
    "condition": condition,
    "number": number,
    "unit": unit,
    "negation": negation,
    "another product or person": noun,
    "answer to another input": another,
    "action denied": denied,
    "secret": secret,
    "wrong speaker": speaker,
    "repeated clause": repeated,
    "truncated": truncated,
    "rude": rude,
    "wrong language": language,
}
