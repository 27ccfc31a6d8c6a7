"""What goes out is whole: in its language, nothing twice, not cut off, and civil to customer and shop alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording import (
    HAN,
    broken_end,
    ended,
    normalise,
    quantities,
    repeated_words,
    rude_words,
    stray_words,
    tokens,
)
from metier_support.tasks import LISTING, REPLY, REVIEW, listing, reply, review

RULE = "House rule: nothing goes out that is broken off, said twice, in another language or rude"
_TASKS = {"reply": reply, "bullets": listing, "summary": review}
"""The task of an output, by a field that only it has."""
_RUNNING = ("reply", "description", "summary")
"""Fields that are written in sentences; the others are titles and points."""
_WHOLE = ("reply", "description", "summary", "title")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per fault of a text."""
    return list(_findings(input, output))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    task = next((task for field, task in _TASKS.items() if field in output), reply)
    language = task.language_of(dict(input))
    known = "\n".join(_strings(input))
    given = normalise(known)
    texts = list(_texts(output))
    stops = sum(ended(text) for name, text in texts if name in _RUNNING) > 0 or language == "en" or task is reply
    for name, text in texts:
        if words := stray_words(text, language, known):
            yield Finding(message=f"{name} leaves the language of the case", rule=RULE, excerpt=words[:40])
        end = broken_end(text, sentence=stops and name in _RUNNING)
        if end := end or (_cut_word(text, known) if name == "title" else None):
            yield Finding(message=f"{name} breaks off at the end", rule=RULE, excerpt=end)
        if (words := rude_words(text)) and not _quoted(words, given, task is review):
            yield Finding(message=f"{name} is rude or runs the shop down", rule=RULE, excerpt=words[:40])
        if words := repeated_words(text):
            yield Finding(message=f"{name} says the same twice", rule=RULE, excerpt=words[:40])
    points = [normalise(text).strip(" .。") for name, text in texts if name not in _WHOLE]
    if twice := next((point for n, point in enumerate(points) if point in points[:n]), None):
        yield Finding(message="two points are the same", rule=RULE, excerpt=twice[:40])


def _cut_word(text: str, known: str) -> str | None:
    """The last word of a title, where it is the beginning of a word of the input, or a number without its unit."""
    words, given = tokens(text), tokens(known)
    if not words or len(given) > _MOST_WORDS:
        return None
    last = words[-1]
    if last[0].isdigit():
        units = {q.unit for q in quantities(known) if q.number == last}
        return last if units and None not in units else None
    whole = last in given or HAN.search(last)
    return None if whole or not any(word.startswith(last) for word in given) else last


_MOST_WORDS = 5000


def _quoted(words: str, given: str, digest: bool) -> bool:
    """Whether such words are the input's own, or an apology: `sorry it is late` runs an advertiser down, not a desk.

    A digest of reviews repeats what buyers call bad in sentences of its own: there the last word is enough.
    """
    plain = normalise(words)
    return plain in given or plain.startswith("sorry") or (digest and plain.split()[-1] in given)


def _texts(output: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("reply", "title", "bullets", "description", "summary", "pros", "cons"):
        value = output.get(name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.strip():
                yield name, text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            if key != "photo":
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _check(name: str, task: str, input: Value, good: Value, bad: Value) -> Check:
    text = "In the case's language, no clause twice, no broken end, civil."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Well formed")


_CASE: Value = {
    "dialogue": [{"who": "customer", "text": "how much is express?"}],
    "passages": [{"id": "P1", "text": "Express costs £6.95."}],
}
_ANSWER: Value = {"intent": "product_question", "escalate": False, "used": ["P1"]}
reply_well_formed = _check(
    "well_formed",
    REPLY,
    _CASE,
    {**_ANSWER, "reply": "Express is £6.95."},
    {**_ANSWER, "reply": "Express is £6.95. Stop wasting our time."},
)
_GOODS: Value = {"photo": "mug.png", "attributes": {"product": "mug", "material": "stoneware"}}
_COPY: Value = {"title": "Stoneware mug", "bullets": ["Made of stoneware", "A mug"]}
listing_well_formed = _check(
    "listing_well_formed",
    LISTING,
    _GOODS,
    {**_COPY, "description": "A mug of stoneware."},
    {**_COPY, "description": "A mug of stoneware and"},
)
_REVIEWS: Value = {"reviews": [{"text": "Boils fast.", "rating": 5}]}
review_well_formed = _check(
    "review_well_formed",
    REVIEW,
    _REVIEWS,
    {"summary": "It boils fast.", "pros": ["boils fast"], "cons": [], "aspects": []},
    {"summary": "It boils fast. It boils fast.", "pros": ["boils fast"], "cons": [], "aspects": []},
)
WELL_FORMED_CHECKS = (reply_well_formed, listing_well_formed, review_well_formed)
