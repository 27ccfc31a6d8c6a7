"""A line is whole: in the talk's language, ended as speech ends, no clause twice.

Three faults of small models that no game can play, found by script, punctuation and repetition, not by meaning. What
the writer's input holds may stand in any language; a writer who puts no full stops into earlier lines needs none here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import HAN, given, spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA, line

RULE = "house rule: a line is whole"
_GIVEN = (
    "speaker", "persona", "world", "state", "secrets", "facts", "history", "choices", "situation", "avoid", "player",
)  # fmt: skip

_OTHER_SCRIPT = re.compile(r"[\u0370-\u1fff\u2c00-\u2dff\u3040-\u30ff\u3400-\u9fff\ua000-\ud7ff]+")
_NOT_CHINESE = re.compile(r"[\u0370-\u1fff\u3040-\u309f\u30a1-\u30fa\uac00-\ud7ff]+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+(?:['’][A-Za-z]+)?")
# Of French, Spanish and German; three of them make a text another than English.
_SMALL_WORDS = frozenset(
    """le les des est une pour avec dans qui vous nous votre el los las una por para con del es su und der das mit für
    ist nicht ein eine auf von sich zu que je pas mi yo ich wir sie""".split()  # noqa: SIM905
)

_ENDED = re.compile(r"[.!?…。！？～~—\"'”’」』)）》*♪]$")
_DANGLING = re.compile(
    r"(?:\b(?:a|an|the|and|or|my|your|our|their|than|because|if|into|onto)|[,，、；;：:])[.。]?$|(?:[和与及或]|因为|而且|但是)。?$",
    re.IGNORECASE,
)
_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("《", "》"), ("（", "）"))
_LOWER = re.compile(r"[.!?] {1,2}[a-z]")
_SHORTENED = frozenset(["mr", "mrs", "ms", "dr", "st", "no", "vs", "etc", "m", "g", "e", "jr", "sr", "capt", "sgt"])

_CLAUSES = re.compile(r"[,.;:!?，。；：！？…、—\n]+")
_SENTENCES = re.compile(r"[^.!?。！？…]+[.!?。！？…]*")
_WORDS = re.compile(r"[\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)?")
_RUN = 6
"""Words in a row that do not come twice by chance; a Han character counts as a word, and takes one more."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each fault of each line."""
    known = given(input, *_GIVEN)
    language = line.language_of(dict(input))
    stops = _puts_stops(input)
    found = []
    for text in spoken_lines(output):
        for what, words in (
            ("leaves the language of the talk", stray(text, language, known)),
            ("breaks off", _broken(text.strip()[-60:]) if stops else None),
            ("a sentence begins without a capital", _lower(text) if language == "en" else None),
            ("says the same twice", repeated(text)),
        ):
            if words:
                found.append(Finding(message=what, rule=RULE, excerpt=words[-40:]))
    return found


def _puts_stops(input: Mapping[str, Any]) -> bool:
    """Whether the writer ends lines with a mark: yes, unless no earlier line of this character, or bark, does."""
    me = input.get("speaker")
    turns = [t for t in input.get("history") or () if isinstance(t, Mapping)]
    earlier = [str(t.get("text")) for t in turns if t.get("who") == me]
    earlier += [str(bark) for bark in input.get("avoid") or ()]
    return not earlier or any(_ENDED.search(text.rstrip()[-1:]) for text in earlier)


def stray(text: str, language: str, known: str) -> str | None:
    """Words of another language than the talk's that the input does not hold, or None."""
    if language != "zh":
        if other := next((m[0] for m in _OTHER_SCRIPT.finditer(text) if m[0] not in known), None):
            return other
        small = {w for w in _LATIN.findall(text.casefold()) if w in _SMALL_WORDS}
        if len(small) > 2:
            small -= set(_LATIN.findall(known.casefold()))
        return " ".join(sorted(small)) if len(small) > 2 else None
    if other := next((m[0] for m in _NOT_CHINESE.finditer(text) if m[0] not in known), None):
        return other
    words = set(_LATIN.findall(known.casefold()))
    chinese = bool(HAN.search(text))
    for stretch in re.split(r"[\u3400-\u9fff]+", text):
        new = [w for w in _LATIN.findall(stretch) if w.casefold() not in words]
        letters = sum(map(len, new))
        if (len(new) > 1 and not stretch.isupper()) or (not chinese and letters > 3):
            return " ".join(new)
    return None


def _broken(end: str) -> str | None:
    if not end:
        return None
    cut = not _ENDED.search(end) or _DANGLING.search(end)
    open_quote = any(end.count(a) > end.count(b) for a, b in _PAIRS)
    return end[-12:] if cut or open_quote else None


def _lower(text: str) -> str | None:
    for match in _LOWER.finditer(text):
        before = re.split(r"\W", text[max(0, match.start() - 12) : match.start()])[-1]
        if before and before.casefold() not in _SHORTENED:
            return text[match.start() - len(before) : match.end() + 12]
    return None


def repeated(text: str) -> str | None:
    """A clause that comes twice where speech would not repeat it, or None.

    `Move, move!` and `For you, five. For you, four!` are speech: two words may come again, and more may do so once
    at once where they are shouted. Three words (three Han characters) elsewhere, and a calm sentence said again at the
    end, are not.
    """
    return _repeated_clause(text) or _repeated_end(text) or _repeated_run(text)


def _repeated_clause(text: str) -> str | None:
    before: dict[tuple[str, ...], int] = {}
    number = -1
    for clause in _CLAUSES.split(text):
        words = tuple(_WORDS.findall(clause.casefold()))
        if not words:
            continue
        number += 1
        han = sum(bool(HAN.match(w)) for w in words)
        adjacent = before.get(words) == number - 1
        least = (5 if adjacent else 3) if han else 3
        if words in before and len(words) >= least:
            return clause.strip()
        before[words] = number
    return None


def _repeated_end(text: str) -> str | None:
    """The last sentence, where the text before it ends in the same words and the same mark."""
    last = None
    for last in _SENTENCES.finditer(text):  # noqa: B007 - the last one is kept
        pass
    if last is None or not last[0].strip():
        return None
    end, before = last[0].strip().casefold(), text[: last.start()].rstrip().casefold()
    size = len(_WORDS.findall(end))
    head = before[: len(before) - len(end)] if before.endswith(end) else None
    if head is None or size < 2 or (head and head[-1].isalnum() and not HAN.match(end)):
        return None
    shout = end[-1] in "!！" and size < 5
    return last[0].strip() if head.strip() and not shout else None


def _repeated_run(text: str) -> str | None:
    words = _WORDS.findall(text.casefold())
    grams: set[tuple[str, ...]] = set()
    same = 1
    for i, word in enumerate(words):
        same = same + 1 if i and words[i - 1] == word and not word.isdigit() else 1
        if same > _RUN:
            return " ".join([word] * same)
        gram = tuple(words[i : i + _RUN + bool(HAN.match(word))])
        if gram in grams and len(gram) >= _RUN:
            return ("" if HAN.match(word) else " ").join(gram)
        grams.add(gram)
    return None


def _check(name: str, task: str, input: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> Check:
    input = {"speaker": "Mira", **input}
    text = "In the talk's language, ended, no clause twice."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Whole")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
whole = _check(
    "whole",
    LINE,
    {},
    {"line": "Get in. Sit down, down!", **_REST},
    {"line": "Get in before the. Get in before the", **_REST},
)
bark_whole = _check(
    "bark_whole",
    BARK,
    {"situation": "rain"},
    {"variants": ["Rain again."]},
    {"variants": ["Rain again.", "雨又来了。"]},
)
persona_whole = _check(
    "persona_whole", PERSONA, {"player": "Can I cross?"}, {"text": "If you pay."}, {"text": "If you pay. you pay."}
)
