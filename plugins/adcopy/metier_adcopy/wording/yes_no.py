"""Facts that are a yes or a no, such as `familyFriendly[no]`: whether a text states it, negation included."""

from __future__ import annotations

import re

from metier.wording.words import HAN, Text, content, normalise, same, tokens
from metier_adcopy.wording.other_words import NO_WORDS, YES_WORDS

_YES = {
    "yes", "y", "true", "是", "有", "含", "支持", "可", "可以", "能",
}  # fmt: skip
_NO = {
    "no", "n", "false", "none", "否", "无", "不", "没有", "不支持", "不可", "不含", "非",
}  # fmt: skip
_FIRST = re.compile(r"\s*([^\s,，;；(]+)\s*(?:[,，;；(]\s*(.*?)\)?)?\s*$", re.S)

# Words of a key that name a relation to the product, not what it is: copy leaves them out.
_AROUND = {
    "is", "has", "available", "allowed", "included", "provided", "offered", "welcome", "required", "needed",
}  # fmt: skip
_AROUND_HAN = re.compile(r"^(?:是否|可否|能否|支持|可|能|有|带|含|送)+|(?:支持)$")
_NEGATORS = {
    "not", "nor", "neither", "lacks", "lack", "minus", "excluding", "skip", "skips", "nothing",
}  # fmt: skip
_CLAUSE = re.compile(r"[.;:!?,](?!\d)|\bbut\b|\balthough\b|\bthough\b|\bwhile\b|\s-\s")
_CLAUSE_HAN = re.compile(r"[，。；：！？,.;!?\s]")
_NEGATION_HAN = re.compile(r"[不无非没未免勿别零]")
_NEGATED_AFTER_HAN = re.compile(
    r"[也都则就暂需请]{0,2}(?:不(?:含|支持|提供|包|送|可|能|行|做|接|附|在内)|没有|另[购配付算]|自[备带理]|除外)"
)


def yes_no(value: str) -> tuple[bool, str] | None:
    """(what a value says, what it says beside that), or None where it is not a yes or a no: `yes, on request`."""
    found = _FIRST.match(value)
    word = normalise(found[1]) if found else ""
    if found and word in _YES | _NO:
        return word in _YES, found[2] or ""
    return None


def states_yes_no(text: Text, key: str, wanted: bool) -> bool:
    """Whether the text says that `key` holds, or does not."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
    if HAN.search(key):
        return _states_in_chinese(text, normalise(key).replace(" ", ""), wanted) if text.chinese else True
    words = tokens(spaced)
    known = " ".join(words)
    for table, kind in ((NO_WORDS, False), (YES_WORDS, True)):
        if known in table or known.replace("child", "family") in table:
            pattern = table.get(known) or table[known.replace("child", "family")]
            if re.search(pattern, text.plain):
                return wanted is kind
    if words and words[0] == "not":
        words, wanted = words[1:], not wanted
    core = [w for w in content(words) if w not in _AROUND] or content(words)
    return bool(core) and any(_polarity(clause, core, wanted) for clause in _clauses(text.plain))


def _clauses(plain: str) -> list[list[str]]:
    # `not only waterproof` says that it is.
    return [tokens(part) for part in _CLAUSE.split(re.sub(r"\bnot (only|just|merely)\b", " ", plain)) if part]


def _polarity(clause: list[str], core: list[str], wanted: bool) -> bool:
    """Whether the clause mentions most of `core` with the wanted polarity."""
    joined = "".join(core)
    at = [i for i, word in enumerate(clause) if any(same(word, c) for c in core) or word == joined]
    hit = {c for c in core if any(same(clause[i], c) for i in at)}
    if not at or (len(hit) * 2 <= len(core) and joined not in clause and len(core) > 1):
        return False
    free = "free" not in core and at[-1] + 1 < len(clause) and clause[at[-1] + 1] == "free"
    # A negator governs up to the next `and`, from either side: `no parking and dogs are welcome`.
    before = clause[max(0, at[0] - 5) : at[0]]
    after = clause[at[-1] + 1 : at[-1] + 4]
    if "and" in before:
        before = before[len(before) - before[::-1].index("and") :]
    around = before + clause[at[0] : at[-1] + 1] + after[: after.index("and") if "and" in after else None]
    negated = free or any(w in _NEGATORS for w in around if w not in core)
    return negated is not wanted


def _states_in_chinese(text: Text, key: str, wanted: bool) -> bool:
    core = _AROUND_HAN.sub("", key) or key
    if core[0] in "无免不非" and len(core) > 1:
        core, wanted = core[1:], not wanted
    for clause in _CLAUSE_HAN.split(text.plain):
        at = clause.find(core)
        if at < 0:
            if len(core) < 3 or sum(c in clause for c in core) / len(core) < 0.75:
                continue
            at = min(clause.find(c) for c in core if c in clause)
        # A negator governs from just before, 不可机洗, 不是独立包装, 无添加糖, or is the predicate: 三脚架不含.
        negated = _NEGATION_HAN.search(clause[max(0, at - 4) : at])
        negated = negated or _NEGATED_AFTER_HAN.match(clause, at + len(core))
        if bool(negated) is not wanted:
            return True
    return False
