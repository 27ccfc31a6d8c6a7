"""Recognises the language of a text by its script, as far as scripts go: Chinese from English, not French from it.

Script ranges are Unicode's blocks (https://www.unicode.org/Public/UCD/latest/ucd/Blocks.txt).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_SCRIPTS = {
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "kana": re.compile("[\u3040-\u30ff\u31f0-\u31ff]"),
    "hangul": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "hebrew": re.compile("[\u0590-\u05ff]"),
    "greek": re.compile("[\u0370-\u03ff]"),
    "thai": re.compile("[\u0e00-\u0e7f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "latin": re.compile("[A-Za-z\u00c0-\u024f]"),
}
_OF_LANGUAGE = {
    "zh": "han", "ja": "kana", "ko": "hangul", "ru": "cyrillic", "uk": "cyrillic", "bg": "cyrillic", "ar": "arabic",
    "fa": "arabic", "ur": "arabic", "he": "hebrew", "el": "greek", "th": "thai", "hi": "devanagari", "mr": "devanagari",
}  # fmt: skip
_WEIGHTS = {"han": 3, "kana": 2, "hangul": 3}
"""Letters that a character of these scripts stands for, beside Latin letters: one is a syllable or a word."""
SEEN = 4000
"""Characters that are looked at."""
KANA_SHARE = 0.1
"""Share of kana among Han and kana from which a text is Japanese."""


def script_of(text: str) -> str | None:
    """The script with most of a text's letters: `han`, `kana` (Japanese), `latin` and others; None without letters."""
    seen = text[:SEEN]
    counts = {name: len(pattern.findall(seen)) * _WEIGHTS.get(name, 1) for name, pattern in _SCRIPTS.items()}
    if counts["kana"] >= KANA_SHARE * (counts["han"] + counts["kana"]) > 0:
        counts["kana"] += counts["han"]
        counts["han"] = 0
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def language_by_script(value: Any, languages: Sequence[str]) -> str | None:
    """The first of some languages that is written in the script of a value's texts; None where none is.

    Args:
        value: a text, or data with texts in it; names of fields, and payloads in `data:` form, do not count.
        languages: BCP 47 tags.
    """
    text, length = [], 0
    for part in _texts(value):
        text.append(part[: SEEN - length])
        length += len(text[-1])
        if length >= SEEN:
            break
    script = script_of(" ".join(text))
    return next((tag for tag in languages if _OF_LANGUAGE.get(primary(tag), "latin") == script), None)


def primary(tag: str) -> str:
    """The language of a BCP 47 tag, without script and region."""
    return tag.split("-")[0].lower()


def names_language(tags: Iterable[str], wanted: str) -> bool:
    """Whether a language is among BCP 47 tags, by its primary subtag: zh-Hans is where zh is."""
    return primary(wanted) in {primary(tag) for tag in tags}


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:  # no recursion: a value may be deep
        found = pending.pop()
        if isinstance(found, str):
            if not found.startswith("data:"):
                yield found
        elif isinstance(found, Mapping):
            pending.extend(reversed(list(found.values())))
        elif isinstance(found, Sequence) and not isinstance(found, bytes):
            pending.extend(reversed(found))
