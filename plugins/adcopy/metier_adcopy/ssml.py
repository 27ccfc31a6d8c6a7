"""A presenter's script as SSML 1.1: one paragraph a line, its gesture as a mark, its stress as emphasis, its seconds
as the duration of its prosody. A renderer gets the gesture's moment from the mark's event."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from metier_adcopy.ssml_grammar import NAMESPACE

_LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
_MOST_STRESSES = 8
# XML 1.0, section 2.2: characters that no document may hold.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_ssml(output: Mapping[str, Any], language: str = "en") -> str:
    """An `adcopy.presenter` output as a stand-alone SSML 1.1 document.

    Args:
        output: the script; stressed words that a line does not hold are left out.
        language: `en`, `zh`, or any BCP 47 tag.
    """
    lines = output.get("lines")
    body = "\n".join(_line(number, line) for number, line in enumerate(lines if isinstance(lines, list) else (), 1))
    tag = quoteattr(_LANGUAGES.get(language, language))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<speak version="1.1" xmlns="{NAMESPACE}" xml:lang={tag}>\n{body}\n</speak>\n'
    )


def _line(number: int, line: Mapping[str, Any]) -> str:
    gesture = str(line.get("gesture") or "none")
    mark = "" if gesture == "none" else f"<mark name={quoteattr(f'line{number}:{gesture}')}/>"
    stress = [str(word) for word in line.get("stress") or ()]
    words = _stressed(_FORBIDDEN.sub(" ", str(line.get("say", ""))), stress)
    return f'  <p>{mark}<prosody duration="{line.get("seconds", 1)}s">{words}</prosody></p>'


def stressed_at(text: str, stress: Sequence[str]) -> list[tuple[int, int]]:
    """Where each stressed phrase occurs, whole words only and none within another; one that does not is left out."""
    found: list[tuple[int, int]] = []
    for phrase in list(filter(str.strip, stress))[:_MOST_STRESSES]:
        opening = "(?<![A-Za-z0-9])" if phrase[0].isascii() and phrase[0].isalnum() else ""
        closing = r"(?![A-Za-z0-9]|\.\d)" if phrase[-1].isascii() and phrase[-1].isalnum() else ""
        pattern = f"{opening}{re.escape(phrase)}{closing}"
        for match in re.finditer(pattern, text):
            if all(match.end() <= start or end <= match.start() for start, end in found):
                found.append(match.span())
                break
    return sorted(found)


def _stressed(text: str, stress: Sequence[str]) -> str:
    parts, at = [], 0
    for start, end in stressed_at(text, stress):
        parts += [escape(text[at:start]), f'<emphasis level="strong">{escape(text[start:end])}</emphasis>']
        at = end
    return "".join([*parts, escape(text[at:])])
