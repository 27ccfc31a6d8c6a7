"""Product facts: read from `key[value], key[value]`, lines of `key: value` or sentences; written as the first.

It does not know copy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from metier.contracts import ContractError

_FACT = re.compile(r"\s*([^\[\],，、;；]+?)\s*\[([^\[\]]*)\]\s*(?:[,，、;；]|$)")

_PART = re.compile(r"[\n;；]")
_LINE = re.compile(r"\s*(?:[-*•·]\s)?\s*([^:：,，。\d][^:：,，。]{0,39}?)\s*[:：](?!//)\s*(.*)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|[。！？；\n]")

# What feeds put where they have nothing to say. "none" and "no" are not among them: those say something.
_UNKNOWN = {"", "-", "--", "n/a", "na", "n.a.", "null", "nan", "unknown", "tbc", "tbd", "?", "未知", "不详", "暂无"}


class Fact(NamedTuple):
    """One thing known about the product."""

    key: str
    value: str

    @property
    def known(self) -> bool:
        """False for an empty value and for a placeholder such as `n/a`: there is nothing to state."""
        return unicodedata.normalize("NFKC", self.value).strip().casefold() not in _UNKNOWN


def parse_facts(text: str) -> list[Fact]:
    """Facts of `name[Alimentum], area[city centre]`, in order; of `name: Alimentum` lines; or of plain sentences.

    Commas between facts may be full-width; a trailing one is allowed. Without brackets, lines or semicolons part
    the facts if each has a colon. Otherwise a text that ends as a sentence does is prose: each sentence is a fact
    without a key.

    Raises:
        ContractError: the text is not such a list; the message quotes where reading stopped.
    """
    facts: list[Fact] = []
    position = 0
    stripped = text.rstrip()
    if stripped and not re.search(r"[\[\]]", stripped) and (plain := _without_brackets(stripped)):
        return plain
    while position < len(stripped):
        found = _FACT.match(stripped, position)
        if not found:
            raise ContractError(
                f"facts cannot be read from {stripped[position : position + 40].strip()!r} on",
                remedy="write key[value], key[value] without brackets inside, or lines of key: value, or sentences",
            )
        facts.append(Fact(found[1], found[2].strip()))
        position = found.end()
    if not facts:
        raise ContractError("there are no facts", remedy="write at least one, as name[Harrow mug]")
    return facts


def _without_brackets(text: str) -> list[Fact]:
    parts = [part for part in _PART.split(text) if part.strip()]
    lines = [found for part in parts if (found := _LINE.fullmatch(part))]
    if lines and len(lines) == len(parts):
        return [Fact(found[1].strip(), found[2].strip()) for found in lines]
    if text[-1] not in ".。!！":
        return []
    return [Fact("", part.strip(" .!！")) for part in _SENTENCE.split(text) if part.strip(" .!！")]


def write_facts(facts: Iterable[tuple[str, str]]) -> str:
    """The notation for pairs of key and value; brackets, line breaks and a key's commas are made harmless."""
    written = []
    for key, value in facts:
        key = " ".join(re.sub(r"[\[\],，、;；]", " ", key).split())
        value = " ".join(value.translate(str.maketrans("[]", "()")).split())
        written.append(f"{key}[{value}]")
    return ", ".join(written)


def known_facts(input: Mapping[str, Any]) -> list[Fact]:
    """Facts of a task input that have something to state.

    Raises:
        ContractError: `facts` is missing or cannot be read.
    """
    return [fact for fact in parse_facts(str(input.get("facts", ""))) if fact.known]
